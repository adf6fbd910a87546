import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// What the engine says of the app's set-up, the device and the server.
@Suite struct NoticeTests {
    private func configuration(
        _ gateway: any HTTPTransport, schema: String = "business"
    ) throws -> SyncConfiguration {
        var configuration = SyncConfiguration(
            gateway: try #require(URL(string: "https://gateway.test")), schema: schema)
        configuration.transport = gateway
        configuration.clock = ManualClock()
        return configuration
    }

    private func kinds(_ engine: SyncEngine) -> [SyncNotice.Kind] {
        engine.status.notices.map(\.kind)
    }

    @Test("a database without WAL and busy timeout is told of, one in memory or with both is not")
    func databaseModes() throws {
        let path = NSTemporaryDirectory() + "oversqlite-\(UUID().uuidString).db"
        defer {
            for suffix in ["", "-wal", "-shm"] {
                try? FileManager.default.removeItem(atPath: path + suffix)
            }
        }
        var wait = Configuration()
        wait.busyMode = .timeout(5)
        let settings = try configuration(InMemoryGateway())
        func engine(_ database: any DatabaseWriter) throws -> SyncEngine {
            try database.write {
                try $0.execute(sql: "CREATE TABLE IF NOT EXISTS t (id TEXT PRIMARY KEY)")
            }
            return try SyncEngine(
                for: database, tables: [SyncTable("t")], configuration: settings,
                credentials: { InMemoryGateway.token(device: "one") })
        }
        let plain = try engine(DatabaseQueue(path: path))
        #expect(kinds(plain) == [.journalMode, .busyTimeout])
        #expect(plain.status.notices.allSatisfy { !$0.advice.isEmpty })
        #expect(kinds(try engine(DatabasePool(path: path, configuration: wait))).isEmpty)
        #expect(kinds(try engine(DatabaseQueue())).isEmpty)
    }

    @Test(
        "a column in which a trigger changes rows of the server's is told of",
        arguments: ["", "TEMP "])
    func alteredRows(place: String) async throws {
        let device = try Device()
        func trigger(_ condition: String) -> String {
            """
            CREATE \(place)TRIGGER touch AFTER UPDATE ON users \(condition) BEGIN
              UPDATE users SET age = 99 WHERE id = NEW.id;
            END
            """
        }
        func told() -> [String?] {
            device.engine.status.notices.filter { $0.kind == .alteredRow }.map(\.subject)
        }
        try device.execute(trigger("WHEN NOT EXISTS (SELECT 1 FROM _sync_applying)"))
        for age in 1...2 {
            device.gateway.write("users", key(1), #"{"id":"\#(key(1))","name":"a","age":\#(age)}"#)
            try await device.sync()
        }
        #expect(told() == [])
        #expect(try device.count("SELECT age FROM users") == 2)
        try device.execute("DROP TRIGGER touch")
        try device.execute(trigger(""))
        for age in 3...4 {
            device.gateway.write("users", key(1), #"{"id":"\#(key(1))","name":"a","age":\#(age)}"#)
            try await device.sync()
        }
        #expect(told() == ["users.age"])
        #expect(try device.queue().isEmpty)
    }

    @Test("a connection on which the triggers cannot run is refused at the start")
    func untrustedSchema() throws {
        var untrusting = Configuration()
        untrusting.prepareDatabase { try $0.execute(sql: "PRAGMA trusted_schema = OFF") }
        let database = try DatabaseQueue(configuration: untrusting)
        try database.write { try $0.execute(sql: "CREATE TABLE t (id TEXT PRIMARY KEY)") }
        let settings = try configuration(InMemoryGateway())
        func start() throws {
            _ = try SyncEngine(
                for: database, tables: [SyncTable("t")], configuration: settings,
                credentials: { InMemoryGateway.token(device: "one") })
        }
        // Some builds of SQLite trust these functions: then the app can write.
        do {
            try start()
            try database.write { try $0.execute(sql: "INSERT INTO t VALUES ('\(key(1))')") }
        } catch let error as SyncError {
            #expect("\(error)".contains("PRAGMA trusted_schema = ON"))
            let left = try database.read {
                try Int.fetchOne(
                    $0, sql: "SELECT count(*) FROM sqlite_master WHERE name LIKE '_sync%'")
            }
            #expect(left == 0)
        }
        try database.write { try $0.execute(sql: "PRAGMA trusted_schema = ON") }
        try start()
    }

    @Test("unique values that clash with those of other devices are told of at the start")
    func uniqueness() throws {
        let device = try Device(
            schema: """
                CREATE TABLE users (
                  n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT UNIQUE COLLATE NOCASE);
                """, tables: [SyncTable("users", keyColumn: "id")])
        let found = device.engine.status.notices.filter { $0.kind != .busyTimeout }
        #expect(found.map(\.kind) == [.rowNumbers, .looseUnique])
        #expect(found.map(\.subject) == ["users.n", "users.name"])
    }

    /// A second installation on a copy of the device's file.
    private func copy(of device: Device, token name: String? = nil) throws -> (
        SyncEngine, DatabasePool
    ) {
        let path = device.path + ".twin"
        try FileManager.default.moveItem(atPath: device.copyOfDatabase(), toPath: path)
        let database = try DatabasePool(path: path)
        let engine = try SyncEngine(
            for: database, tables: device.tables,
            configuration: device.engine.session.configuration,
            credentials: { [weak database] in
                let own = try await database?.read {
                    try DeviceStateTable(db: $0).read().sourceID
                }
                return InMemoryGateway.token(user: "user", device: name ?? own ?? "")
            })
        return (engine, database)
    }

    private func remove(_ database: DatabasePool) {
        for suffix in ["", "-wal", "-shm"] {
            try? FileManager.default.removeItem(atPath: database.path + suffix)
        }
    }

    @Test("a copied database file is another device, and both see each other's rows")
    func copiedFile() async throws {
        let device = try Device()
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'first')", [key(1)])
        try await device.sync()
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'not in the copy')", [key(2)])
        let (twin, database) = try copy(of: device)
        defer { remove(database) }
        #expect(twin.status.notices.map(\.kind).contains(.copiedDatabase))
        #expect(try await twin.deviceID != device.engine.deviceID)
        try await device.sync()
        try await database.write {
            try $0.execute(
                sql: "UPDATE users SET name = 'by two' WHERE id = ?", arguments: [key(1)])
        }
        try await twin.syncChanges()
        try await device.sync()
        let query = "SELECT name FROM users ORDER BY id"
        #expect(
            try await database.read { try String.fetchAll($0, sql: query) } == device.lines(query))
        #expect(try device.lines(query) == ["by two", "not in the copy"])
        #expect(!twin.status.notices.map(\.kind).contains(.sharedDeviceID))
    }

    @Test("a copy whose token names the original is told of until the app keeps the name")
    func sharedName() async throws {
        let device = try Device()
        try await device.sync()
        let (twin, database) = try copy(of: device, token: "one")
        defer { remove(database) }
        try await twin.syncChanges()
        #expect(twin.status.notices.first { $0.kind == .sharedDeviceID }?.subject == "one")
        try await twin.keepDeviceID()
        try await twin.syncChanges()
        #expect(!twin.status.notices.map(\.kind).contains(.sharedDeviceID))
    }

    @Test(
        "a copy that shared its name reads what it missed once its token has another, or none",
        arguments: [true, false])
    func sharedNameEnds(namesDevice: Bool) async throws {
        let device = try Device()
        try await device.sync()
        let (twin, database) = try copy(of: device, token: "one")
        defer { remove(database) }
        try await twin.syncChanges()
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'missed')", [key(1)])
        try await device.sync()
        try await twin.syncChanges()
        #expect(
            try await database.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM users") } == 0
        )
        let name = try await twin.deviceID
        #expect(name != "one")
        let renamed = try SyncEngine(
            for: database, tables: device.tables,
            configuration: device.engine.session.configuration,
            credentials: {
                namesDevice
                    ? InMemoryGateway.token(user: "user", device: name) : UserTests.tokenOfUser
            })
        try await renamed.syncChanges()
        #expect(
            try await database.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM users") } == 1
        )
        #expect(try await renamed.deviceID == name)
        #expect(!renamed.status.notices.map(\.kind).contains(.sharedDeviceID))
    }

    @Test("a file that is opened again, or restored in its place, is no copy")
    func sameFile() async throws {
        let device = try Device()
        try await device.sync()
        let id = try await device.engine.deviceID
        try device.reopen()
        let copy = try device.copyOfDatabase()
        try device.reopen(from: copy)
        #expect(!kinds(device.engine).contains(.copiedDatabase))
        #expect(try await device.engine.deviceID == id)
    }

    @Test(
        "a wrong schema and a table that is not offered are told of once an upload is refused",
        arguments: [("busines", SyncNotice.Kind.unknownSchema), ("business", .unservedTable)])
    func schema(name: String, kind: SyncNotice.Kind) async throws {
        let gateway = InMemoryGateway(tables: [.init("users")])
        let device = try Device("one", gateway)
        let engine = try SyncEngine(
            for: device.database, tables: device.tables,
            configuration: configuration(gateway, schema: name),
            credentials: { InMemoryGateway.token(user: "user", device: "one") })
        try device.execute("INSERT INTO posts (id) VALUES (?)", [key(1)])
        try await engine.syncChanges()
        let notice = try #require(engine.status.notices.first { $0.kind == kind })
        #expect(notice.subject == (kind == .unknownSchema ? "busines" : "posts"))
        if kind == .unknownSchema { #expect(notice.advice.contains("business")) }
    }

    @Test("the closure for credentials is told of a token that was rejected, and why")
    func rejectedToken() async throws {
        let gateway = InMemoryGateway()
        let device = try Device("one", gateway)
        let asked = LockedValue<[CredentialsRequest]>([])
        let engine = try SyncEngine(
            for: device.database, tables: device.tables, configuration: configuration(gateway)
        ) { request in
            asked.change { $0.append(request) }
            return request.rejectedToken == nil
                ? "old" : InMemoryGateway.token(user: "user", device: "one")
        }
        try await engine.syncChanges()
        let rejected = asked.value.filter { $0.rejectedToken != nil }
        #expect(!rejected.isEmpty)
        #expect(rejected.allSatisfy { $0.rejectedToken == "old" && $0.reason?.isEmpty == false })
    }

    @Test(
        "the server's time shows a wrong clock, and a good one hides the notice",
        arguments: [
            (-59.0, nil), (60, nil), (-61, "1 minute behind"), (7201, "2 hours ahead of"),
            (-90_000, "1 day behind"),
        ])
    func clock(difference: Double, words: String?) throws {
        let server = try #require(HTTPDate.seconds("Sun, 06 Nov 1994 08:49:37 GMT"))
        #expect(server == 784_111_777)
        let notice = ClockRules.notice(device: server + difference, server: server)
        #expect(notice.map { $0.message.contains(words ?? "-") } ?? (words == nil))
    }

    @Test("dates of answers are read, and anything else is none")
    func dates() {
        #expect(HTTPDate.seconds("Thu, 01 Jan 1970 00:00:00 GMT") == 0)
        #expect(HTTPDate.seconds("Thu, 29 Feb 2024 23:59:59 GMT") == 1_709_251_199)
        for text in ["", "yesterday", "Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49 GMT"] {
            #expect(HTTPDate.seconds(text) == nil)
        }
    }

    @Test("a token that is rejected while the clock is wrong says so")
    func clockOfToken() async throws {
        let gateway = InMemoryGateway()
        let device = try Device("one", gateway)
        let engine = try SyncEngine(
            for: device.database, tables: device.tables,
            configuration: configuration(Dated(gateway)),
            credentials: { "rejected" })
        let error = await #expect(throws: SyncError.self) { try await engine.syncChanges() }
        #expect(error?.description.contains("clock is") == true)
        #expect(engine.status.notices.contains { $0.kind == .clock })
    }

    /// A gateway whose answers have a time that no device's clock shows.
    private struct Dated: HTTPTransport {
        let gateway: InMemoryGateway
        init(_ gateway: InMemoryGateway) { self.gateway = gateway }

        func send(_ request: TransportRequest) async throws -> TransportResponse {
            var response = try await gateway.send(request)
            response.headers["date"] = "Sun, 06 Nov 1994 08:49:37 GMT"
            return response
        }
    }
}
