import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Keys that an app respells, and keys that a collation would confuse.
@Suite struct RespelledKeyTests {
    private static let count = 120

    private static func capitals(_ number: Int) -> String {
        key(number).replacing("0000-4000", with: "ABCD-4000")
    }

    private func filled(_ gateway: InMemoryGateway) async throws -> Device {
        let device = try Device("old", gateway)
        try fill(device) { $0 }
        try await device.sync()
        return device
    }

    private func fill(_ device: Device, _ spell: (String) -> String) throws {
        try device.database.write { db in
            for number in 1...Self.count {
                try db.execute(
                    sql: "INSERT INTO users (id, age) VALUES (?, ?)",
                    arguments: [spell(Self.capitals(number)), number])
            }
        }
    }

    /// A new phone has every row, and the old one sends nothing more.
    private func agree(_ device: Device, _ gateway: InMemoryGateway) async throws {
        try await device.sync()
        let phone = try Device("new", gateway)
        try await phone.sync()
        let query = "SELECT replace(lower(id), '-', ''), name, age FROM users ORDER BY 1"
        #expect(try phone.lines(query) == device.lines(query))
        #expect(try phone.count("SELECT count(*) FROM users") == Self.count)
        #expect(try device.queue().isEmpty)
    }

    @Test(
        "an app that spells all its keys anew loses no row, whatever statements it uses",
        arguments: [
            "UPDATE users SET id = lower(id)",
            "UPDATE users SET id = replace(id, '-', '')",
            """
            INSERT INTO users SELECT lower(id), name, age FROM users;
            DELETE FROM users WHERE id <> lower(id)
            """,
            """
            CREATE TEMP TABLE t AS SELECT * FROM users;
            DELETE FROM users;
            INSERT INTO users SELECT lower(id), name, age FROM t
            """,
            """
            INSERT INTO users SELECT lower(id), name, age FROM users;
            DELETE FROM users WHERE id <> lower(id);
            UPDATE users SET id = replace(id, '-', '')
            """,
        ])
    func spelledAnew(statements: String) async throws {
        let gateway = InMemoryGateway()
        let device = try await filled(gateway)
        try device.execute(statements)
        try await agree(device, gateway)
        #expect(gateway.rows("users").count == Self.count)
    }

    @Test("so does a migration that builds the table anew, and an unsent edit is kept")
    func builtAnew() async throws {
        let gateway = InMemoryGateway()
        let device = try await filled(gateway)
        try device.execute("UPDATE users SET name = 'unsent' WHERE age = 7")
        _ = try device.queue()
        gateway.write(
            "users", Self.capitals(7).lowercased(),
            #"{"id":"\#(Self.capitals(7).lowercased())","name":null,"age":1070}"#)
        try device.reopen { db in
            try db.execute(
                sql: """
                    CREATE TABLE new_users (id TEXT PRIMARY KEY NOT NULL, name TEXT, age INTEGER);
                    INSERT INTO new_users SELECT lower(id), name, age FROM users;
                    PRAGMA defer_foreign_keys = ON;
                    DROP TABLE users;
                    ALTER TABLE new_users RENAME TO users;
                    """)
        }
        try await agree(device, gateway)
        #expect(
            try device.lines("SELECT name, age FROM users WHERE age IN (7, 1070)") == [
                "unsent|1070"
            ])
    }

    @Test("rows that an older version deleted on the server when they were respelled come back")
    func broughtBack() async throws {
        let gateway = InMemoryGateway()
        let device = try await filled(gateway)
        try device.execute("DELETE FROM users")
        try await device.sync()
        #expect(gateway.rows("users").isEmpty)
        // What the older version left: the rows are here, and it knows them as deleted.
        try device.execute("INSERT INTO _sync_applying VALUES (1)")
        try fill(device) { $0.lowercased() }
        try device.execute(
            """
            DELETE FROM _sync_applying; DROP INDEX _sync_spelled;
            UPDATE _sync_state SET format = 4;
            """)
        try device.reopen()
        try await agree(device, gateway)
        #expect(try device.count("SELECT format FROM _sync_state") == MetadataTables.format)
    }

    @Test("a deleted row stays deleted, and an edit under a new spelling is an update")
    func plainEdits() async throws {
        let gateway = InMemoryGateway()
        let device = try await filled(gateway)
        try device.execute("UPDATE users SET id = lower(id), name = 'b' WHERE age = 1")
        try device.execute("UPDATE users SET id = lower(id) WHERE age = 2")
        try device.execute("DELETE FROM users WHERE age = 2")
        #expect(try device.queue() == ["UPDATE|1", "DELETE|1"])
        try await device.sync()
        #expect(gateway.rows("users").count == Self.count - 1)
        #expect(try device.queue().isEmpty)
    }

    @Test(
        "a text key under a collation that confuses keys is refused at the start",
        arguments: [
            ("CREATE TABLE words (word TEXT PRIMARY KEY NOT NULL COLLATE NOCASE, n)", "NOCASE"),
            ("CREATE TABLE words (word TEXT COLLATE RTRIM PRIMARY KEY, n) WITHOUT ROWID", "RTRIM"),
            ("CREATE TABLE words (word TEXT PRIMARY KEY COLLATE NOCASE, n INT) STRICT", "NOCASE"),
            (
                """
                CREATE TABLE words (word TEXT, n);
                CREATE UNIQUE INDEX u ON words (word COLLATE NOCASE)
                """, "NOCASE"
            ),
            (
                """
                CREATE TABLE words (word TEXT PRIMARY KEY, n);
                CREATE UNIQUE INDEX u ON words (word COLLATE NOCASE)
                """, "NOCASE"
            ),
        ])
    func collations(schema: String, collation: String) throws {
        let error = #expect(throws: SyncError.self) {
            try Device(
                schema: schema,
                tables: [SyncTable("words", keyColumn: "word", keyKind: .text)])
        }
        #expect(error?.description.contains("column word") == true)
        #expect(error?.description.contains("without COLLATE \(collation)") == true)
        #expect(error?.advice == .fixSchema)
    }

    @Test("UUIDs may compare without case: two spellings are one row on both sides")
    func caselessUUIDs() async throws {
        let gateway = InMemoryGateway()
        let schema = """
            CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL COLLATE NOCASE, name TEXT, age INT);
            CREATE TABLE posts (id TEXT PRIMARY KEY NOT NULL, user_id TEXT REFERENCES users);
            """
        let device = try Device("one", gateway, schema: schema)
        try device.execute("INSERT INTO users (id) VALUES (?)", [Self.capitals(1)])
        try await device.sync()
        try device.execute("UPDATE users SET id = lower(id), name = 'b'")
        #expect(try device.queue() == ["UPDATE|1"])
        let wire = Self.capitals(1).lowercased()
        gateway.write("posts", key(2), #"{"id":"\#(key(2))","user_id":"\#(wire)"}"#)
        gateway.write("users", wire, #"{"id":"\#(wire)","name":null,"age":5}"#)
        try await device.sync()
        #expect(try device.lines("SELECT * FROM users") == ["\(wire)|b|5"])
        #expect(try device.lines("SELECT user_id FROM posts") == [wire])
    }
}
