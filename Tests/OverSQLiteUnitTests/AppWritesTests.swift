import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// What apps do to their tables, beyond plain statements: all of it reaches the other device.
@Suite struct AppWritesTests {
    /// Two devices on one gateway.
    private static func pair(
        _ schema: String, _ tables: String...
    ) throws -> (Device, Device) {
        let gateway = InMemoryGateway()
        let synced = tables.map { SyncTable($0) }
        return (
            try Device("one", gateway, schema: schema, tables: synced),
            try Device("two", gateway, schema: schema, tables: synced)
        )
    }

    private static func expectEqual(_ one: Device, _ two: Device, _ tables: String...) async throws
    {
        for device in [one, two, one] { try await device.sync() }
        for table in tables {
            let rows = try one.lines("SELECT * FROM \(table) ORDER BY 1")
            #expect(try two.lines("SELECT * FROM \(table) ORDER BY 1") == rows, "\(table)")
            #expect(one.gateway.rows(table).count == rows.count, "\(table)")
        }
        for device in [one, two] { #expect(device.engine.status.pendingCount == 0) }
    }

    @Test("REPLACE and UPSERT inside the app's own triggers are captured")
    func triggers() async throws {
        let schema = """
            CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, text TEXT);
            CREATE TABLE latest (id TEXT PRIMARY KEY NOT NULL, note TEXT UNIQUE, edits INTEGER);
            CREATE TRIGGER remember AFTER INSERT ON notes BEGIN
              REPLACE INTO latest (id, note, edits) VALUES (NEW.id, 'the latest', 0);
            END;
            CREATE TRIGGER count AFTER UPDATE ON notes BEGIN
              INSERT INTO latest (id, note, edits) VALUES (NEW.id, NEW.id, 1)
              ON CONFLICT (id) DO UPDATE SET edits = edits + 1;
            END;
            """
        // The other device has no such triggers: they would do twice what comes with the rows.
        let tables = schema.components(separatedBy: "CREATE TRIGGER")[0]
        let gateway = InMemoryGateway()
        let synced = [SyncTable("notes"), SyncTable("latest")]
        let one = try Device("one", gateway, schema: schema, tables: synced)
        let two = try Device("two", gateway, schema: tables, tables: synced)
        try one.execute("INSERT INTO notes VALUES ('\(key(1))', 'a')")
        try await Self.expectEqual(one, two, "notes", "latest")
        // The second note's row replaces the first one's through its unique column.
        try one.execute("INSERT OR REPLACE INTO notes VALUES ('\(key(2))', 'b')")
        try one.execute("UPDATE OR IGNORE notes SET text = text || '!'")
        try await Self.expectEqual(one, two, "notes", "latest")
        #expect(try two.lines("SELECT id, note, edits FROM latest ORDER BY id").count == 2)
    }

    @Test("Statements over many rows are captured row by row")
    func bulk() async throws {
        let (one, two) = try Self.pair(postsAndUsers, "users", "posts")
        try one.execute(
            """
            INSERT INTO users (id, name) WITH RECURSIVE n (i) AS (
              SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 700)
            SELECT printf('00000000-0000-4000-8000-%012d', i), i FROM n;
            INSERT INTO posts (id, user_id, title)
              SELECT replace(id, '-4000-', '-4001-'), id, name FROM users;
            """)
        try await Self.expectEqual(one, two, "users", "posts")
        try one.execute(
            """
            UPDATE users SET age = p.likes FROM (SELECT user_id, length(title) AS likes FROM posts) p
              WHERE p.user_id = users.id;
            DELETE FROM posts;
            """)
        try await Self.expectEqual(one, two, "users", "posts")
        #expect(try two.count("SELECT sum(age) FROM users") == 9 + 90 * 2 + 601 * 3)
    }

    @Test("What the app rolls back, also to a savepoint, was never there")
    func rollback() async throws {
        let device = try Device()
        try await device.database.writeWithoutTransaction { db in
            try db.inTransaction {
                try db.execute(sql: "INSERT INTO users (id) VALUES ('\(key(1))')")
                try db.inSavepoint {
                    try db.execute(sql: "INSERT INTO users (id) VALUES ('\(key(2))')")
                    return .rollback
                }
                return .commit
            }
            try db.inTransaction {
                try db.execute(sql: "DELETE FROM users")
                return .rollback
            }
        }
        try await device.sync()
        #expect(Array(device.gateway.rows("users").keys) == [key(1)])
    }

    @Test(
        "Cascades of every kind are captured",
        arguments: [
            "DELETE FROM a WHERE id = '\(key(1))'",
            "UPDATE a SET id = '\(key(9))' WHERE id = '\(key(1))'",
            "REPLACE INTO a (id, t) VALUES ('\(key(1))', 'new')",
        ], [true, false])
    func cascades(statement: String, isRecursive: Bool) async throws {
        let (one, two) = try Self.pair(
            """
            CREATE TABLE a (id TEXT PRIMARY KEY NOT NULL, t TEXT);
            CREATE TABLE gone (id TEXT PRIMARY KEY NOT NULL,
              a TEXT REFERENCES a ON DELETE CASCADE ON UPDATE CASCADE);
            CREATE TABLE emptied (id TEXT PRIMARY KEY NOT NULL,
              a TEXT REFERENCES a ON DELETE SET NULL ON UPDATE SET NULL);
            CREATE TABLE usual (id TEXT PRIMARY KEY NOT NULL,
              a TEXT DEFAULT '\(key(2))' REFERENCES a ON DELETE SET DEFAULT ON UPDATE CASCADE);
            """, "a", "gone", "emptied", "usual")
        try one.execute("INSERT INTO a VALUES ('\(key(1))', 'x'), ('\(key(2))', 'y')")
        for (number, table) in ["gone", "emptied", "usual"].enumerated() {
            try one.execute("INSERT INTO \(table) VALUES (?, ?)", [key(10 + number), key(1)])
        }
        try await Self.expectEqual(one, two, "a", "gone", "emptied", "usual")
        try one.execute("PRAGMA recursive_triggers = \(isRecursive ? "ON" : "OFF")")
        try one.execute(statement)
        try await Self.expectEqual(one, two, "a", "gone", "emptied", "usual")
    }

    @Test("Keys that are exchanged between two rows arrive so")
    func exchangedKeys() async throws {
        let (one, two) = try Self.pair(postsAndUsers, "users", "posts")
        try one.execute(
            "INSERT INTO users (id, name) VALUES ('\(key(1))', 'a'), ('\(key(2))', 'b')")
        try await Self.expectEqual(one, two, "users")
        for (from, to) in [(1, 3), (2, 1), (3, 2)] {
            try one.execute("UPDATE users SET id = ? WHERE id = ?", [key(to), key(from)])
        }
        #expect(try one.queue() == ["UPDATE|1", "UPDATE|1"])
        try await Self.expectEqual(one, two, "users")
        #expect(try two.lines("SELECT name FROM users ORDER BY id") == ["b", "a"])
    }

    @Test("Writes of other connections and of processes that know nothing of sync are captured")
    func otherConnections() async throws {
        let (one, two) = try Self.pair(postsAndUsers, "users", "posts")
        try await one.sync()
        let other = try DatabaseQueue(path: one.path)
        try await other.write {
            try $0.execute(sql: "INSERT INTO users (id, name) VALUES ('\(key(1))', 'a')")
        }
        try await Self.expectEqual(one, two, "users")
        try await other.write { try $0.execute(sql: "UPDATE users SET name = 'b'") }
        try one.execute("UPDATE users SET age = 4")
        try await other.writeWithoutTransaction { try $0.execute(sql: "VACUUM") }
        try await Self.expectEqual(one, two, "users")
        #expect(try two.lines("SELECT name, age FROM users") == ["b|4"])
    }

    // MARK: Migrations

    @Test("A column that is renamed goes on under its new name")
    func renamedColumn() async throws {
        let device = try Device()
        try device.execute("INSERT INTO users (id, name) VALUES ('\(key(1))', 'a')")
        try await device.sync()
        try device.reopen { try $0.execute(sql: "ALTER TABLE users RENAME COLUMN name TO label") }
        try device.execute("UPDATE users SET label = 'b'")
        try await device.sync()
        #expect(device.gateway.rows("users")[key(1)]?.contains(#""label":"b""#) == true)
        #expect(device.engine.status.pendingCount == 0)
    }

    @Test(
        "A column is dropped in a migration while edits wait; they and the migration's own are sent"
    )
    func droppedColumn() async throws {
        let device = try Device()
        try device.execute("INSERT INTO users (id, name, age) VALUES ('\(key(1))', 'a', 1)")
        try device.execute("INSERT INTO users (id, name, age) VALUES ('\(key(2))', 'a', 1)")
        try await device.sync()
        try device.execute("UPDATE users SET name = 'b' WHERE id = '\(key(1))'")
        try device.reopen { db in
            try SyncEngine.prepareToDropColumns(of: "users", in: db)
            try db.execute(sql: "ALTER TABLE users DROP COLUMN age")
            try db.execute(sql: "UPDATE users SET name = 'c' WHERE id = '\(key(2))'")
        }
        device.gateway.write("users", key(1), #"{"id":"\#(key(1))","name":"a","age":7}"#)
        try await device.sync()
        #expect(try device.lines("SELECT name FROM users ORDER BY id") == ["b", "c"])
        // What older apps know of the column stays theirs.
        #expect(device.gateway.rows("users")[key(1)]?.contains(#""name":"b","age":7"#) == true)
        #expect(device.gateway.rows("users")[key(2)]?.contains(#""name":"c""#) == true)
        #expect(device.engine.status.pendingCount == 0)
    }

    @Test("A table made anew by a migration, as SQLite's twelve steps have it, sends what differs")
    func remadeTable() async throws {
        let device = try Device()
        try device.execute("INSERT INTO users (id, name) VALUES ('\(key(1))', 'a')")
        try await device.sync()
        try device.reopen { db in
            try db.execute(
                sql: """
                    CREATE TABLE users_new (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, age);
                    INSERT INTO users_new SELECT id, name, age FROM users;
                    INSERT INTO users_new VALUES ('\(key(2))', 'b', 2);
                    PRAGMA defer_foreign_keys = ON;
                    DROP TABLE users;
                    ALTER TABLE users_new RENAME TO users;
                    """)
        }
        try await device.sync()
        try device.execute("UPDATE users SET age = 3 WHERE id = '\(key(1))'")
        try await device.sync()
        #expect(Set(device.gateway.rows("users").keys) == [key(1), key(2)])
        #expect(device.gateway.rows("users")[key(1)]?.contains(#""age":3"#) == true)
        #expect(device.engine.status.pendingCount == 0)
    }

    /// What SQLite's twelve steps come to.
    private static func remake(
        _ table: String, _ columns: String, where condition: String = "true", in db: Database
    ) throws {
        try db.execute(
            sql: """
                CREATE TABLE remade (id TEXT PRIMARY KEY NOT NULL, \(columns));
                INSERT INTO remade SELECT * FROM \(table) WHERE \(condition);
                DROP TABLE \(table);
                ALTER TABLE remade RENAME TO \(table);
                """)
    }

    @Test(
        "A table made anew whose columns are called as the library's own keeps what is known of its rows"
    )
    func remadeWithColumnNames() async throws {
        let schema = "CREATE TABLE words (id TEXT PRIMARY KEY NOT NULL, key TEXT, local TEXT)"
        let device = try Device(schema: schema, tables: [SyncTable("words")])
        for number in 1...3 {
            try device.execute("INSERT INTO words VALUES (?, 'k', 'l')", [key(number)])
        }
        try await device.sync()
        try device.execute("UPDATE words SET local = 'm' WHERE id = ?", [key(2)])
        // Row 3 is not copied: nobody knows that it was deleted, and it is read again.
        try device.reopen { db in
            try Self.remake("words", "key TEXT, local TEXT", where: "id <> '\(key(3))'", in: db)
        }
        #expect(try device.queue() == ["UPDATE|1"])
        try await device.sync()
        #expect(
            try device.lines("SELECT id, local FROM words ORDER BY id")
                == ["\(key(1))|l", "\(key(2))|m", "\(key(3))|l"])
    }

    @Test(
        "A table made anew whose keys are spelled in another way here sends nothing that is known")
    func remadeWithSpelledKeys() async throws {
        let device = try Device(
            schema: "CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT)",
            tables: [SyncTable("users")])
        let spelled = "ABCDEF00-0000-4000-8000-000000000001"
        try device.execute("INSERT INTO users VALUES (?, 'a')", [spelled])
        try await device.sync()
        device.gateway.write(
            "users", spelled.lowercased(), #"{"id":"\#(spelled.lowercased())","name":"theirs"}"#)
        try device.reopen { try Self.remake("users", "name TEXT", in: $0) }
        #expect(try device.queue().isEmpty)
        try await device.sync()
        #expect(try device.lines("SELECT name FROM users") == ["theirs"])
    }
}
