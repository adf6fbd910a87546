import GRDB
import GRDBSQLite
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// `sync_row_status`, as apps join it.
@Suite(.timeLimit(.minutes(1))) struct RowStatusTests {
    private static let joined = """
        SELECT u.name, s.state, s.reason FROM users u
        JOIN sync_row_status s ON s.table_name = 'users' AND s.key = u.id ORDER BY u.name
        """

    @Test("each row has one state: pending, synced, or rejected with its reason")
    func states() async throws {
        let device = try Device()
        device.gateway.refuse("users", key(2), reason: "bad_payload")
        device.gateway.write("users", key(3), #"{"id":"\#(key(3))","name":"c","age":1}"#)
        try device.execute(
            "INSERT INTO users (id, name) VALUES (?, 'a'), (?, 'b')", [key(1), key(2)])
        #expect(try device.lines(Self.joined) == ["a|pending|-", "b|pending|-"])
        try await device.sync()
        let after = ["a|synced|-", "b|rejected|bad_payload", "c|synced|-"]
        #expect(try device.lines(Self.joined) == after)
        try device.execute("UPDATE users SET age = 2 WHERE name IN ('a', 'b')")
        let edited = ["a|pending|-", "b|pending|-", "c|synced|-"]
        #expect(try device.lines(Self.joined) == edited)
        #expect(try device.queue().count == 2)
        #expect(try device.lines(Self.joined) == edited)
    }

    @Test("a deleted row is pending until the server knows, then it is in the view no more")
    func deleted() async throws {
        let device = try Device()
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(1)])
        try await device.sync()
        try device.execute("DELETE FROM users")
        let states = "SELECT state FROM sync_row_status"
        #expect(try device.lines(states) == ["pending"])
        #expect(try device.queue() == ["DELETE|1"])
        #expect(try device.lines(states) == ["pending"])
        try await device.sync()
        #expect(try device.lines(states).isEmpty)
    }

    @Test(
        "tables and columns with any name, keys in any spelling: the join is by the row's own key")
    func names() async throws {
        let device = try Device(
            schema: #"""
                CREATE TABLE "Order" ("the ""key""" BLOB PRIMARY KEY NOT NULL, v TEXT);
                CREATE TABLE Upper (id TEXT PRIMARY KEY NOT NULL, v TEXT);
                """#,
            tables: [SyncTable("Order"), SyncTable("Upper")])
        try device.execute(#"INSERT INTO "Order" VALUES (zeroblob(16), 'blob')"#)
        try device.execute("INSERT INTO Upper VALUES (?, 'text')", [key(10).uppercased()])
        let joined = #"""
            SELECT o.v, s.state FROM "Order" o JOIN sync_row_status s
              ON s.table_name = 'order' AND s.key = o."the ""key"""
            UNION ALL
            SELECT u.v, s.state FROM Upper u JOIN sync_row_status s
              ON s.table_name = 'upper' AND s.key = u.id
            """#
        #expect(try device.lines(joined) == ["blob|pending", "text|pending"])
        _ = try device.queue()
        #expect(try device.lines(joined) == ["blob|pending", "text|pending"])
        try await device.sync()
        #expect(try device.lines(joined) == ["blob|synced", "text|synced"])
    }

    @Test("the view is made anew at every start, and a look for one row searches and does not scan")
    func large() async throws {
        let device = try Device()
        try device.execute(
            """
            WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
            INSERT INTO users (id, name) SELECT printf('00000000-0000-4000-8000-%012d', i), 'n' FROM n
            """)
        try await device.sync()
        try device.execute("UPDATE users SET age = 1 WHERE rowid % 2 = 0")
        try device.reopen { db in try db.execute(sql: "DROP VIEW sync_row_status") }
        let counts = try device.lines(
            """
            SELECT s.state, count(*) FROM users u
            JOIN sync_row_status s ON s.table_name = 'users' AND s.key = u.id GROUP BY 1
            """)
        #expect(counts == ["pending|500", "synced|500"])
        let plan = try device.lines(
            "EXPLAIN QUERY PLAN SELECT * FROM sync_row_status WHERE table_name = 'users' AND key = 'k'"
        )
        #expect(!plan.contains { $0.contains("SCAN q") || $0.contains("SCAN r") }, "\(plan)")
    }

    /// Statements of SQLite's machine that a query may take for each row and each touch, which is far more than
    /// a search in an index takes and far less than looking through all of them.
    private static let stepsPerRow = 400

    @Test(
        "the view's cost grows with the rows, not with rows times changes",
        arguments: [false, true])
    func cost(isFolded: Bool) async throws {
        let count = 10_000
        let device = try Device { $0.uploadLimit = 10_000 }
        try device.execute(
            """
            WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(count))
            INSERT INTO users (id, name) SELECT printf('00000000-0000-4000-8000-%012d', i), 'n' FROM n
            """)
        if isFolded { _ = try device.queue() }
        try device.execute("UPDATE users SET age = 1")
        let steps = LockedValue(0)
        let counts = try await device.database.read { db -> [String] in
            let statement = try db.makeStatement(
                sql: """
                    SELECT s.state || ' ' || count(*) FROM users u
                    JOIN sync_row_status s ON s.table_name = 'users' AND s.key = u.id GROUP BY s.state
                    """)
            let states = try String.fetchAll(statement)
            let taken = sqlite3_stmt_status(
                statement.sqliteStatement, SQLITE_STMTSTATUS_VM_STEP, 0)
            steps.change { $0 = Int(taken) }
            return states
        }
        #expect(counts == ["pending \(count)"])
        #expect(steps.value < count * Self.stepsPerRow, "\(steps.value)")
    }
}
