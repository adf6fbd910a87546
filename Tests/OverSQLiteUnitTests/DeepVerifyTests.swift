import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Promise P8: what the app's tables show is what the server's log has, and where it is not, that
/// is found and repaired.
@Suite("P8: a device compares the values of its tables")
struct DeepVerifyTests {
    private func payload(_ number: Int, _ name: String) -> String {
        #"{"id":"\#(key(number))","name":"\#(name)","age":\#(number)}"#
    }

    private func asked(_ device: Device) -> Int {
        device.gateway.requests.filter { $0.path.hasSuffix("rows") }.count
    }

    /// A device that has read rows 1 to `count` of the server's.
    private func hydrated(
        _ count: Int = 9, _ gateway: InMemoryGateway = InMemoryGateway(),
        _ network: (any HTTPTransport)? = nil,
        schema: String = postsAndUsers, tables: [SyncTable]? = nil
    ) async throws -> Device {
        let device = try Device(
            "one", gateway, schema: schema,
            tables: tables ?? [SyncTable("users"), SyncTable("posts")],
            adjust: { $0.transport = network ?? gateway })
        for number in 1...count {
            device.gateway.write("users", key(number), payload(number, "n\(number)"))
        }
        try await device.sync()
        return device
    }

    private func users(_ device: Device) async throws -> TableComparison {
        let report = try await device.engine.verify(deep: true)
        return try #require(report.tables.first { $0.table == "users" })
    }

    /// Changes the app's table as a fault does: the triggers do not see it.
    private func damage(_ device: Device, _ sql: String) throws {
        try device.database.write { db in
            try ApplyMode(db: db).during { try db.execute(sql: sql) }
            try db.execute(
                sql: "UPDATE _sync_state SET folded = (SELECT coalesce(max(seq), 0) FROM _sync_log)"
            )
        }
    }

    @Test("Equal values are found equal, in ranges of 200 rows, and nothing is written or reported")
    func equal() async throws {
        let device = try await hydrated(401)
        let before = try device.lines("SELECT * FROM users ORDER BY id")
        let found = try await users(device)
        #expect(found.outcome == .equal)
        #expect(found.values?.comparedRows == 401)
        #expect(found.values?.skippedRows == 0 && found.values?.differingRows == 0)
        #expect(asked(device) == 3)
        #expect(try device.lines("SELECT * FROM users ORDER BY id") == before)
        #expect(try device.queue() == [])
        // Without being asked it looks into no table.
        let report = try await device.engine.verify()
        #expect(report.tables.map(\.outcome) == [.equal, .notCompared])
        #expect(report.tables.allSatisfy { $0.values == nil })
        #expect(asked(device) == 3)
    }

    @Test(
        "Rows with other values are found by ranges of keys; they alone are repaired, and reported")
    func repairs() async throws {
        let device = try await hydrated(300)
        let events = device.engine.events
        try damage(
            device,
            """
            UPDATE users SET name = 'bad' WHERE age BETWEEN 10 AND 12;
            UPDATE users SET age = NULL WHERE age = 250;
            DELETE FROM users WHERE age = 20;
            """)
        let found = try await users(device)
        #expect(found.outcome == .repaired && found.differingRows == 0)
        #expect(found.values?.comparedRows == 300 && found.values?.differingRows == 5)
        #expect(
            found.values?.differingRanges == [
                KeyRange(first: key(10), last: key(12), rows: 3),
                KeyRange(first: key(20), last: key(20), rows: 1),
                KeyRange(first: key(250), last: key(250), rows: 1),
            ])
        #expect(found.description.contains("\(key(10)) to \(key(12)); \(key(20))"))
        // Two ranges, and what is repaired of each.
        #expect(asked(device) == 4)
        #expect(try device.count("SELECT count(*) FROM users WHERE name = 'n' || age") == 300)
        #expect(try device.queue() == [])
        let lost = try await device.engine.settledConflicts.map(\.key)
        #expect(Set(lost) == Set([10, 11, 12, 250].map(key)))
        var iterator = events.makeAsyncIterator()
        var drift: DriftReport?
        while drift == nil, let event = await iterator.next() {
            if case .drift(let report) = event { drift = report }
        }
        #expect(drift == DriftReport(table: "users", rows: 5, repaired: 5))
        #expect(try await users(device).outcome == .equal)
    }

    @Test("A row that only the app's table has is sent")
    func unknown() async throws {
        let device = try await hydrated(3)
        try damage(
            device, "INSERT INTO users (id, name) VALUES ('\(key(50))', 'only here')")
        let found = try await users(device)
        #expect(found.values?.differingRanges.map(\.first) == [key(50)])
        #expect(try device.queue() == ["INSERT|0"])
        try await device.sync()
        #expect(device.gateway.rows("users")[key(50)]?.contains("only here") == true)
        #expect(try await users(device).outcome == .equal)
    }

    @Test("Unsent edits and held rows are left out, and stay")
    func busy() async throws {
        let device = try await hydrated(9)
        device.gateway.write(
            "posts", key(7), #"{"id":"\#(key(7))","user_id":"\#(key(99))","title":"orphan"}"#)
        try await device.sync()
        try device.execute("UPDATE users SET name = 'mine' WHERE id = ?", [key(2)])
        try device.execute("DELETE FROM users WHERE id = ?", [key(3)])
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'new')", [key(20)])
        let found = try await users(device)
        #expect(found.outcome == .equal)
        #expect(found.values?.comparedRows == 7 && found.values?.skippedRows == 2)
        #expect(try device.queue() == ["UPDATE|1", "DELETE|1", "INSERT|0"])
        #expect(try device.count("SELECT count(*) FROM _sync_held") == 1)
    }

    @Test("Values that a migration gave rows for this device only stay, and are counted")
    func localValues() async throws {
        let device = try await hydrated(3)
        try await device.database.write { db in
            try SyncEngine.withLocalMigration(in: db) {
                try db.execute(sql: "UPDATE users SET name = 'here alone'")
            }
        }
        device.gateway.write("users", key(2), payload(2, "newer"))
        let found = try await users(device)
        #expect(found.outcome == .equal)
        #expect(found.values?.comparedRows == 1 && found.values?.skippedRows == 2)
        let names = try device.lines("SELECT name FROM users ORDER BY id")
        #expect(names == ["here alone", "newer", "here alone"])
    }

    private static let capabilities = """
        {"api_versions":[1],"features":["digest"],"tables":[
          {"schema":"business","table":"users","key_kind":"uuid","read":true,"columns":[
            {"name":"id","type":"uuid","kind":"uuid"},
            {"name":"name","type":"text","kind":"text"},
            {"name":"age","type":"bigint","kind":"integer"},
            {"name":"email","type":"text","kind":"text"}]}]}
        """

    @Test("Columns that one side has, and columns that are lossy, are named and left out")
    func columns() async throws {
        let gateway = InMemoryGateway()
        let network = FaultyTransport(gateway)
        network.always(.capabilities, .answerInstead(status: 200, Self.capabilities))
        let device = try await hydrated(
            3, gateway, network,
            schema: """
                CREATE TABLE users (
                  id TEXT PRIMARY KEY NOT NULL, name TEXT, age REAL, draft TEXT, mood TEXT);
                """,
            tables: [SyncTable("users", localColumns: ["draft"])])
        try damage(device, "UPDATE users SET draft = 'x', mood = 'y', age = 0.5")
        let found = try await users(device)
        #expect(
            found.values?.skippedColumns == [
                SkippedColumn(name: "age", cause: .lossy),
                SkippedColumn(name: "draft", cause: .deviceOnly),
                SkippedColumn(name: "email", cause: .serverOnly),
                SkippedColumn(name: "mood", cause: .deviceOnly),
            ])
        #expect(found.outcome == .equal && found.values?.comparedRows == 3)
        #expect(try device.count("SELECT count(*) FROM users WHERE age = 0.5") == 3)
    }

    @Test("Keys and references that the app spells in its own way are equal")
    func spellings() async throws {
        let device = try Device()
        let (user, post) = (key(0xAB).uppercased(), key(0xCD).uppercased())
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'a')", [user])
        try device.execute("INSERT INTO posts (id, user_id) VALUES (?, ?)", [post, user])
        try await device.sync()
        let report = try await device.engine.verify(deep: true)
        #expect(report.isEqual, "\(report)")
        #expect(report.tables.map { $0.values?.comparedRows } == [1, 1])
        #expect(try device.lines("SELECT id, user_id FROM posts") == ["\(post)|\(user)"])
    }

    @Test("A log that grows meanwhile is read, and the range compared as it is then")
    func growing() async throws {
        let device = try await hydrated(9)
        let (gateway, text) = (device.gateway, payload(1, "newer"))
        gateway.next(.rows, .holdRequest(until: { gateway.write("users", key(1), text) }))
        let found = try await users(device)
        #expect(found.outcome == .equal && found.values?.comparedRows == 9)
        #expect(try device.text("SELECT name FROM users WHERE id = ?", [key(1)]) == "newer")
        for number in 2...4 {
            let text = payload(number, "newer")
            gateway.next(.rows, .holdRequest(until: { gateway.write("users", key(number), text) }))
        }
        #expect(try await users(device).outcome == .notCompared)
    }
}
