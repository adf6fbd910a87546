import Foundation
import GRDB
import GRDBSQLite
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// What ends up in the queue after which statements, before and after the row has been synced.
@Suite struct CaptureTests {
    static let insert = "INSERT INTO users (id, name) VALUES ('\(key(1))', 'a')"
    static let update = "UPDATE users SET name = name || 'x'"
    static let delete = "DELETE FROM users"

    @Test(
        "what an unsynced row's edits come to",
        arguments: [
            ([insert], ["INSERT|0"]),
            ([insert, update], ["INSERT|0"]),
            ([insert, delete], []),
            ([insert, update, delete], []),
            ([insert, delete, insert], ["INSERT|0"]),
        ])
    func unsynced(statements: [String], queue: [String]) throws {
        let device = try Device()
        for statement in statements { try device.execute(statement) }
        #expect(try device.queue() == queue)
    }

    @Test(
        "what a synced row's edits come to, each statement folded or all at once",
        arguments: [
            ([update], ["UPDATE|1"]),
            ([update, update], ["UPDATE|1"]),
            ([delete], ["DELETE|1"]),
            ([update, delete], ["DELETE|1"]),
            ([delete, insert], ["INSERT|1", "UPDATE|1"]),
        ], [true, false])
    func synced(_ line: (statements: [String], queue: [String]), folds: Bool) async throws {
        let device = try Device()
        try device.execute(Self.insert)
        try await device.sync()
        for statement in line.statements {
            try device.execute(statement)
            if folds { _ = try device.queue() }
        }
        let queue = try device.queue()
        // A row deleted and inserted again is sent on its version under either name.
        #expect(queue == line.queue || queue.count == 1 && line.queue.contains(queue[0]))
    }

    @Test("C3: delete, insert and delete again stays a delete", arguments: [true, false])
    func deleteInsertDelete(folds: Bool) async throws {
        let device = try Device()
        try device.execute(Self.insert)
        try await device.sync()
        for statement in [Self.delete, Self.insert, Self.delete] {
            try device.execute(statement)
            if folds { _ = try device.queue() }
        }
        #expect(try device.queue() == ["DELETE|1"])
        try await device.sync()
        #expect(device.gateway.rows("users").isEmpty)
    }

    @Test("a row inserted again after its delete was synced is sent on the tombstone's version")
    func resurrection() async throws {
        let device = try Device()
        try device.execute(Self.insert)
        try await device.sync()
        try device.execute(Self.delete)
        try await device.sync()
        try device.execute(Self.insert)
        #expect(try device.queue() == ["INSERT|2"])
        try await device.sync()
        #expect(device.gateway.version("users", key(1)) == 3)
    }

    @Test(
        "C2: no OR-clause and no UPSERT of the app's confuses the capture",
        arguments: [
            "INSERT OR REPLACE INTO users (id, name) VALUES ('\(key(1))', 'new')",
            "INSERT INTO users (id, name) VALUES ('\(key(1))', 'new') ON CONFLICT (id) DO UPDATE SET name = 'new'",
            "UPDATE OR REPLACE users SET name = 'new'", "UPDATE OR IGNORE users SET name = 'new'",
            "REPLACE INTO users (id, name) VALUES ('\(key(1))', 'new')",
        ], [true, false])
    func orClauses(statement: String, isRecursive: Bool) async throws {
        let device = try Device()
        try device.execute(Self.insert)
        try await device.sync()
        try device.execute("PRAGMA recursive_triggers = \(isRecursive ? "ON" : "OFF")")
        try device.execute(statement)
        #expect(try device.queue() == ["UPDATE|1"])
        try await device.sync()
        #expect(device.gateway.rows("users")[key(1)]?.contains(#""name":"new""#) == true)
    }

    @Test("C2: INSERT OR IGNORE of a row that is there captures nothing")
    func orIgnore() async throws {
        let device = try Device()
        try device.execute(Self.insert)
        try await device.sync()
        try device.execute("INSERT OR IGNORE INTO users (id, name) VALUES ('\(key(1))', 'new')")
        #expect(try device.queue().isEmpty)
        // The same statement for a row that is not there is captured.
        try device.execute("INSERT OR IGNORE INTO users (id, name) VALUES ('\(key(2))', 'new')")
        #expect(try device.queue() == ["INSERT|0"])
    }

    @Test("a row that OR REPLACE removes through another unique column is sent as deleted")
    func replacedThroughUniqueColumn() async throws {
        let device = try Device(
            schema:
                "CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT, mail TEXT UNIQUE)",
            tables: [SyncTable("users")])
        try device.execute(
            "INSERT INTO users VALUES ('\(key(1))', 'a', 'm'), ('\(key(2))', 'b', 'n')")
        try await device.sync()
        try device.execute("INSERT OR IGNORE INTO users VALUES ('\(key(3))', 'c', 'm')")
        #expect(try device.queue().isEmpty)
        try device.execute("INSERT OR REPLACE INTO users VALUES ('\(key(3))', 'c', 'm')")
        #expect(Set(try device.queue()) == ["DELETE|1", "INSERT|0"])
        try await device.sync()
        #expect(Set(device.gateway.rows("users").keys) == [key(2), key(3)])
        try device.execute("UPDATE OR REPLACE users SET mail = 'm' WHERE id = '\(key(2))'")
        #expect(Set(try device.queue()) == ["DELETE|1", "UPDATE|1"])
    }

    @Test("C12: a changed key is a delete and an insert")
    func keyChange() async throws {
        let device = try Device()
        try device.execute(Self.insert)
        try await device.sync()
        try device.execute("UPDATE users SET id = '\(key(2))'")
        #expect(Set(try device.queue()) == ["DELETE|1", "INSERT|0"])
        try await device.sync()
        #expect(Array(device.gateway.rows("users").keys) == [key(2)])
    }

    @Test("bulk updates queue every row once, in the order of their first touch")
    func bulk() async throws {
        let device = try Device()
        for number in 1...50 {
            try device.execute("INSERT INTO users (id) VALUES (?)", [key(number)])
        }
        try await device.sync()
        try device.execute("UPDATE users SET age = 1")
        try device.execute("UPDATE users SET age = 2 WHERE id > ?", [key(25)])
        #expect(try device.queue() == Array(repeating: "UPDATE|1", count: 50))
    }

    @Test("WITHOUT ROWID tables, generated columns and reserved names are captured and applied")
    func oddTables() async throws {
        let schema = """
            CREATE TABLE "order" ("group" TEXT PRIMARY KEY NOT NULL, "select" TEXT, "a ""b" INTEGER,
              double INTEGER GENERATED ALWAYS AS ("a ""b" * 2) STORED) WITHOUT ROWID
            """
        let gateway = InMemoryGateway()
        let one = try Device("one", gateway, schema: schema, tables: [SyncTable("order")])
        let two = try Device("two", gateway, schema: schema, tables: [SyncTable("order")])
        try one.execute(
            #"INSERT INTO "order" ("group", "select", "a ""b") VALUES (?, 'x', 4)"#, [key(1)])
        try await one.sync()
        try await two.sync()
        #expect(try two.lines(#"SELECT "select", "a ""b", double FROM "order""#) == ["x|4|8"])
        try two.execute(#"UPDATE "order" SET "select" = 'y'"#)
        try await two.sync()
        try await one.sync()
        #expect(try one.text(#"SELECT "select" FROM "order""#) == "y")
        try one.execute(#"DELETE FROM "order""#)
        try await one.sync()
        try await two.sync()
        #expect(try two.count(#"SELECT count(*) FROM "order""#) == 0)
    }

    @Test("a base image keeps every type and digit, in tables of any width")
    func baseImage() async throws {
        let names = (1...130).map { "c\($0)" }
        let device = try Device(
            schema:
                "CREATE TABLE wide (id TEXT PRIMARY KEY NOT NULL, \(names.joined(separator: ", ")), b BLOB)",
            tables: [SyncTable("wide")])
        try device.execute(
            "INSERT INTO wide (id, c1, c2, c3, c130, b) VALUES (?, 0.1 + 0.2, 9223372036854775807, 'it''s \n', NULL, x'00ff')",
            [key(1)])
        try await device.sync()
        try device.execute("UPDATE wide SET c1 = 1, c2 = 1, c3 = 1, b = NULL")
        _ = try device.queue()
        let image = try #require(
            RowImage.values(of: device.text("SELECT image FROM _sync_pending")))
        #expect(image["c1"] == (0.1 + 0.2).databaseValue)
        #expect(image["c2"] == Int64.max.databaseValue)
        #expect(image["c3"] == "it's \n".databaseValue)
        #expect(image["c130"] == .null)
        #expect(image["b"] == Data([0, 255]).databaseValue)
    }

    // A mark joins what is before it, a quote of a literal too.
    @Test(
        "text that begins with a combining mark, or has one behind a quote, is kept as it was",
        arguments: ["\u{301}cute", "it'\u{301}s", "'\u{FE0F}'", "x'\u{200D}", "\r\n'\r\n"])
    func combiningMarks(text: String) async throws {
        let values = ["name": text.databaseValue, "age": 1.databaseValue]
        #expect(RowImage.values(of: RowImage.text(of: values)) == values)
        let device = try Device()
        try device.execute("INSERT INTO users (id, name) VALUES (?, ?)", [key(1), text])
        try await device.sync()
        device.gateway.refuse("users", key(1), reason: "bad_payload")
        try device.execute("UPDATE users SET name = 'x', age = 2")
        try await device.sync()
        let change = try #require(try await device.engine.rejectedChanges.first)
        try await device.engine.discard(change)
        #expect(try device.text("SELECT hex(name) FROM users") == hex(text))
        #expect(try device.count("SELECT age IS NULL FROM users") == 1)
    }

    private func hex(_ text: String) -> String {
        text.utf8.map { String(UInt8($0) >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
            .uppercased()
    }

    @Test("C15: rows that were there before the first start are sent")
    func adoption() async throws {
        let device = try Device(schema: postsAndUsers + Self.insert)
        #expect(try device.queue() == ["INSERT|0"])
        try await device.sync()
        #expect(device.gateway.rows("users").count == 1)
    }

    @Test("C15: after a column was added, edits of it are captured and sent")
    func addedColumn() async throws {
        let device = try Device()
        try device.execute(Self.insert)
        try await device.sync()
        try device.reopen { try $0.execute(sql: "ALTER TABLE users ADD COLUMN mail TEXT") }
        try device.execute("UPDATE users SET mail = 'm'")
        try await device.sync()
        #expect(device.gateway.rows("users")[key(1)]?.contains(#""mail":"m""#) == true)
    }

    @Test("a stray mark of apply mode does not silence the app's writes after a start")
    func strayApplyMode() throws {
        let device = try Device()
        try device.execute("INSERT INTO _sync_applying VALUES (1)")
        try device.reopen()
        try device.execute(Self.insert)
        #expect(try device.queue() == ["INSERT|0"])
    }

    @Test("tables that cannot sync are refused with the reason")
    func unusable() throws {
        for schema in [
            "CREATE TABLE t (id INTEGER PRIMARY KEY)",
            "CREATE TABLE t (a TEXT, b TEXT, PRIMARY KEY (a, b))",
            "CREATE TABLE t (a TEXT)", "CREATE TABLE other (id TEXT PRIMARY KEY)",
        ] {
            #expect(throws: SyncError.self, "\(schema)") {
                try Device(schema: schema, tables: [SyncTable("t")])
            }
        }
    }

    @Test("a row's state can be joined in SQL, also before anything is folded")
    func rowStatusView() async throws {
        let device = try Device()
        let state =
            "SELECT s.state FROM users u JOIN sync_row_status s ON s.table_name = 'users' AND s.key = u.id"
        try device.execute(Self.insert)
        #expect(try device.lines(state) == ["pending"])
        try await device.sync()
        #expect(try device.lines(state) == ["synced"])
        device.gateway.refuse("users", key(1), reason: "bad_payload")
        try device.execute(Self.update)
        #expect(try device.lines(state) == ["pending"])
        try await device.sync()
        #expect(try device.lines(state) == ["rejected"])
    }

    /// Steps of SQLite's machine are counted, not time: the same on any machine.
    @Test("H11: capture costs the same with any number of pending rows")
    func costs() throws {
        let rows = 16_384
        let device = try Device()
        let insert = "INSERT INTO users (id, name) VALUES (?, 'a')"
        /// Steps of one insert and of one update of it.
        func steps(_ number: Int) throws -> [Int32] {
            try device.database.write { db in
                try [insert, "UPDATE users SET name = 'b' WHERE id = ?"].map { sql in
                    let statement = try db.cachedStatement(sql: sql)
                    _ = sqlite3_stmt_status(
                        statement.sqliteStatement, SQLITE_STMTSTATUS_VM_STEP, 1)
                    try statement.execute(arguments: [key(number)])
                    return sqlite3_stmt_status(
                        statement.sqliteStatement, SQLITE_STMTSTATUS_VM_STEP, 0)
                }
            }
        }
        _ = try steps(1)
        let few = try steps(2)
        try device.database.write { db in
            let statement = try db.cachedStatement(sql: insert)
            for number in 3...rows { try statement.execute(arguments: [key(number)]) }
        }
        let many = try steps(rows + 1)
        #expect(try device.queue().count == rows + 1)
        #expect(few.allSatisfy { $0 > 10 })
        // Trees grow a level deeper; a look at each row would cost a step for every one.
        for (before, after) in zip(few, many) { #expect(after <= before + before / 4) }
    }

    @Test(
        "A table whose name no gateway takes is refused when the engine is made",
        arguments: ["order items", "prix_été", "a-b", String(repeating: "x", count: 64)])
    func unusableName(_ name: String) throws {
        let error = #expect(throws: SyncError.self) {
            _ = try Device(
                schema: "CREATE TABLE \"\(name)\" (id TEXT PRIMARY KEY NOT NULL)",
                tables: [SyncTable(name)])
        }
        #expect(error?.description.contains("at most 63") == true)
    }
}
