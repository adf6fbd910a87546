import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Tables and triggers of the app's that leave rows out, replace others, or end the transaction:
/// the server's rows do not suffer any of this without a trace.
@Suite struct ConflictClauseTests {
    private static func user(_ number: Int, _ name: String, age: String = "1") -> String {
        #"{"id":"\#(key(number))","name":"\#(name)","age":\#(age)}"#
    }

    /// - Parameter columns: of the table, except its key.
    private func device(
        _ columns: String = "name TEXT, age INTEGER", triggers: String = ""
    ) throws -> Device {
        try Device(
            schema: """
                CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, \(columns));
                CREATE TABLE posts (id TEXT PRIMARY KEY NOT NULL,
                  user_id TEXT REFERENCES users (id) ON DELETE CASCADE);
                CREATE TABLE seen (name TEXT UNIQUE);
                \(triggers)
                """, tables: [SyncTable("users"), SyncTable("posts")])
    }

    /// Clauses of a table, and the values of a row that violates its constraint.
    private static let clauses = [
        ("name TEXT UNIQUE ON CONFLICT REPLACE, age INTEGER", user(2, "a")),
        ("name TEXT UNIQUE ON CONFLICT IGNORE, age INTEGER", user(2, "a")),
        ("name TEXT UNIQUE ON CONFLICT FAIL, age INTEGER", user(2, "a")),
        ("name TEXT UNIQUE ON CONFLICT ROLLBACK, age INTEGER", user(2, "a")),
        ("name TEXT UNIQUE on\n conflict replace, age INTEGER", user(2, "a")),
        (
            "name TEXT, age INTEGER NOT NULL ON CONFLICT REPLACE DEFAULT 7",
            user(2, "b", age: "null")
        ),
        ("name TEXT, age INTEGER NOT NULL ON CONFLICT IGNORE", user(2, "b", age: "null")),
        ("name TEXT, age INTEGER, CHECK (age > 0) ON CONFLICT IGNORE", user(2, "b", age: "-1")),
    ]

    @Test(
        "a clause of a table's for conflicts is for the app's rows: rows of the server are held",
        arguments: clauses, [false, true])
    func clause(_ clause: (columns: String, row: String), hasTrigger: Bool) async throws {
        // The trigger's own OR clause is the statement's then.
        let trigger = """
            CREATE TRIGGER see AFTER INSERT ON users BEGIN
              INSERT OR IGNORE INTO seen VALUES (NEW.id);
            END;
            """
        let device = try device(clause.columns, triggers: hasTrigger ? trigger : "")
        device.gateway.write("users", key(1), Self.user(1, "a"))
        device.gateway.write("posts", key(9), #"{"id":"\#(key(9))","user_id":"\#(key(1))"}"#)
        try await device.sync()
        device.gateway.write("users", key(2), clause.row)
        device.gateway.write("users", key(3), Self.user(3, "c"))
        for _ in 0..<2 { try await device.sync() }
        #expect(try device.lines("SELECT id FROM users ORDER BY id") == [key(1), key(3)])
        #expect(try device.count("SELECT count(*) FROM posts") == 1)
        #expect(try await device.engine.heldRows.map(\.key) == [key(2)])
        #expect(device.gateway.rows("posts").count == 1)
        // Once it fits, it comes.
        device.gateway.write("users", key(2), Self.user(2, "b"))
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM users") == 3)
        #expect(try await device.engine.verify(deep: true).isEqual)
    }

    @Test("rows that a server has swapped are written together under such a clause")
    func swapped() async throws {
        let device = try device("name TEXT UNIQUE ON CONFLICT REPLACE, age INTEGER")
        device.gateway.write("users", key(1), Self.user(1, "a"))
        device.gateway.write("users", key(2), Self.user(2, "b"))
        device.gateway.write("posts", key(9), #"{"id":"\#(key(9))","user_id":"\#(key(1))"}"#)
        try await device.sync()
        // A new row takes a value before its row lets go of it.
        device.gateway.write("users", key(3), Self.user(3, "a"))
        device.gateway.write("users", key(1), Self.user(1, "b"))
        device.gateway.write("users", key(2), Self.user(2, "c"))
        try await device.sync()
        #expect(try device.lines("SELECT name FROM users ORDER BY id") == ["b", "c", "a"])
        #expect(device.engine.status.heldCount == 0)
        #expect(device.gateway.rows("posts").count == 1)
        #expect(try device.queue().isEmpty)
    }

    @Test(
        "a row that a trigger of the app's leaves out is held, and others are not",
        arguments: ["", "TEMP "], ["IGNORE", "ABORT, 'no'", "FAIL, 'no'"])
    func leftOut(place: String, raise: String) async throws {
        let device = try device()
        for event in ["INSERT", "UPDATE", "DELETE"] {
            let row = event == "DELETE" ? "OLD" : "NEW"
            try device.execute(
                """
                CREATE \(place)TRIGGER on_\(event) BEFORE \(event) ON users
                  WHEN \(row).name = 'bad \(event)' BEGIN SELECT RAISE(\(raise)); END
                """)
        }
        device.gateway.write("posts", key(9), #"{"id":"\#(key(9))","user_id":null}"#)
        device.gateway.write("users", key(1), Self.user(1, "bad INSERT"))
        device.gateway.write("users", key(2), Self.user(2, "good"))
        device.gateway.write("users", key(3), Self.user(3, "bad DELETE"))
        try await device.sync()
        device.gateway.write("users", key(2), Self.user(2, "bad UPDATE"))
        device.gateway.write("users", key(3), nil)
        device.gateway.write("users", key(4), Self.user(4, "good"))
        try await device.sync()
        #expect(
            try device.lines("SELECT name FROM users ORDER BY id")
                == ["good", "bad DELETE", "good"])
        #expect(
            try await device.engine.heldRows.map(\.key).sorted() == [key(1), key(2), key(3)])
        #expect(device.gateway.rows("users").count == 3)
        for event in ["INSERT", "UPDATE", "DELETE"] {
            try device.execute("DROP TRIGGER on_\(event)")
        }
        try await device.sync()
        #expect(device.engine.status.heldCount == 0)
        #expect(
            try device.lines("SELECT name FROM users ORDER BY id")
                == ["bad INSERT", "bad UPDATE", "good"])
        #expect(device.gateway.rows("users").count == 3)
        let report = try await device.engine.verify(deep: true)
        #expect(report.isEqual, "\(report)")
    }

    @Test("a trigger that rolls back the transaction is reported, and nothing counts as an edit")
    func rollback() async throws {
        let device = try device(
            triggers: """
                CREATE TRIGGER back BEFORE INSERT ON users WHEN NEW.name = 'bad' BEGIN
                  SELECT RAISE(ROLLBACK, 'no bad names');
                END;
                """)
        for (number, name) in ["a", "bad", "c"].enumerated() {
            device.gateway.write("users", key(number), Self.user(number, name))
        }
        await #expect {
            try await device.sync()
        } throws: { error in
            "\(error)".contains("no bad names") && "\(error)".contains("RAISE(ABORT)")
        }
        #expect(try device.count("SELECT count(*) FROM users") == 0)
        #expect(try device.queue().isEmpty)
        try device.execute("DROP TRIGGER back")
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM users") == 3)
        #expect(device.gateway.uploads.isEmpty)
    }
}
