import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// What tests of rights share.
protocol RightsTesting {}

extension RightsTesting {
    func payload(_ number: Int, _ name: String) -> String {
        #"{"id":"\#(key(number))","name":"\#(name)","age":null}"#
    }

    func post(_ number: Int, of user: Int?, _ title: String) -> String {
        let owner = user.map { "\"\(key($0))\"" } ?? "null"
        return #"{"id":"\#(key(number))","user_id":\#(owner),"title":"\#(title)","#
            + #""body":null,"likes":null}"#
    }

    /// Two users, and two posts of the first.
    func hydrated(
        _ adjust: @escaping (inout SyncConfiguration) -> Void = { _ in }
    ) async throws -> Device {
        let device = try Device(
            "one", InMemoryGateway(tables: TableRightsTests.tables), adjust: adjust)
        for number in 1...2 { device.gateway.write("users", key(number), payload(number, "u")) }
        for number in 11...12 {
            device.gateway.write("posts", key(number), post(number, of: 1, "p"))
        }
        try await device.sync()
        return device
    }

    func ids(_ device: Device, _ table: String) throws -> [Int] {
        try device.lines("SELECT id FROM \(table) ORDER BY id").compactMap { Int($0.suffix(3)) }
    }
}

/// Rights at a device's start, and what an older device, another user and a returning table meet.
@Suite struct TableRightsStartTests: RightsTesting {
    @Test("A new device that finds a table closed removes nothing, and reads it once it is open")
    func fromTheStart() async throws {
        let gateway = InMemoryGateway(tables: TableRightsTests.tables)
        gateway.close("posts")
        gateway.write("users", key(1), payload(1, "u"))
        gateway.write("posts", key(11), post(11, of: 1, "p"))
        let device = try Device("one", gateway)
        try device.execute("INSERT INTO posts (id, title) VALUES (?, 'new')", [key(14)])
        try await device.sync()
        #expect(try ids(device, "posts") == [14])
        #expect(try await device.engine.rejectedChanges.map(\.reason) == ["forbidden_table"])
        gateway.open("posts")
        try await device.sync()
        #expect(try ids(device, "posts") == [11, 14])
        #expect(gateway.rows("posts").count == 2)
        #expect(try await device.engine.rejectedChanges.isEmpty)
    }

    @Test("Rows of a table that the server does not have stay: they may be the only ones")
    func unregistered() async throws {
        let device = try Device(
            "one", InMemoryGateway(tables: [.init("users")]),
            tables: [SyncTable("users"), SyncTable("posts")])
        try device.execute("INSERT INTO posts (id, title) VALUES (?, 'only')", [key(14)])
        try await device.sync()
        #expect(
            try device.lines("SELECT access FROM _sync_tables ORDER BY name")
                == ["\(TableAccess.unserved.rawValue)", "\(TableAccess.open.rawValue)"])
        #expect(try await device.engine.rejectedChanges.map(\.reason) == ["unregistered_table"])
        #expect(try ids(device, "posts") == [14])
    }

    @Test("Rows of a table that the server did not have are read once it has it")
    func registeredLater() async throws {
        // A replica that has read the catalog before the table was registered, and another one.
        let older = InMemoryGateway(tables: [.init("users")])
        let newer = InMemoryGateway(tables: TableRightsTests.tables)
        for gateway in [older, newer] {
            gateway.write("users", key(1), payload(1, "u"))
            gateway.write("posts", key(11), post(11, of: 1, "p"))
            gateway.write("users", key(2), payload(2, "u"))
        }
        older.close("posts")
        let replicas = Replicas(older)
        let device = try Device("one", newer) { $0.transport = replicas }
        try device.execute("INSERT INTO posts (id, title) VALUES (?, 'new')", [key(14)])
        try await device.sync()
        #expect(try await device.engine.rejectedChanges.map(\.reason) == ["unregistered_table"])
        #expect(try ids(device, "users") == [1, 2] && ids(device, "posts") == [14])
        replicas.asked.change { $0 = newer }
        try await device.sync()
        #expect(try ids(device, "posts") == [11, 14])
        #expect(newer.rows("posts").keys.sorted() == [key(11), key(14)])
        let report = try await device.engine.verify()
        #expect(report.isEqual, "\(report)")
    }

    @Test("Another user who signs in is asked for anew")
    func otherUser() async throws {
        let device = try await hydrated()
        device.gateway.close("posts")
        try await device.sync()
        try await device.engine.signOut()
        device.gateway.write("posts", key(21), post(21, of: nil, "hers"), user: "eva")
        try device.reopen(user: "eva")
        try await device.sync()
        #expect(try ids(device, "posts") == [21])
    }

    @Test("A table that was not synced while it was closed or opened is met as it is then")
    func absent() async throws {
        let device = try await hydrated()
        try device.reopen(tables: [SyncTable("users")])
        device.gateway.close("posts")
        try await device.sync()
        #expect(try ids(device, "posts") == [11, 12])
        try device.reopen()
        try await device.sync()
        #expect(try ids(device, "posts") == [])
        try device.reopen(tables: [SyncTable("users")])
        device.gateway.open("posts")
        try await device.sync()
        try device.reopen()
        try await device.sync()
        #expect(try ids(device, "posts") == [11, 12])
        #expect(device.gateway.uploads.isEmpty)
    }

    @Test("A database of the format before follows changes from its next sync on")
    func olderFormat() async throws {
        let device = try await hydrated()
        try device.execute(
            """
            ALTER TABLE _sync_state DROP COLUMN readable;
            ALTER TABLE _sync_state DROP COLUMN resume_at;
            ALTER TABLE _sync_tables DROP COLUMN access;
            UPDATE _sync_state SET format = 9;
            """)
        device.gateway.close("posts")
        let events = device.engine.events
        try device.reopen()
        #expect(try device.count("SELECT format FROM _sync_state") == MetadataTables.format)
        _ = events
        try await device.sync()
        #expect(try ids(device, "posts") == [])
        device.gateway.open("posts")
        try await device.sync()
        #expect(try ids(device, "posts") == [11, 12])
    }

    @Test("A held request ends when the tables are others, and the loop follows")
    func held() async throws {
        let device = try await hydrated()
        let gateway = device.gateway
        let state = try await device.engine.session.read { db in
            try DeviceStateTable(db: db).read()
        }
        let client = device.engine.session.gateway
        async let page = client.download(
            after: state.cursor, limit: 1, until: 0, includeSelf: false, wait: 50,
            history: state.history, tables: state.tables)
        gateway.close("posts")
        let told = try await page.tables
        #expect(told != nil && told != state.tables)
    }
}

/// Several gateways; one of them is asked.
private final class Replicas: HTTPTransport {
    let asked: LockedValue<InMemoryGateway>

    init(_ first: InMemoryGateway) { asked = LockedValue(first) }

    func send(_ request: TransportRequest) async throws -> TransportResponse {
        try await asked.value.send(request)
    }
}
