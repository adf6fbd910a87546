import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Rows of a page that are new here are written many at once; what they meet must not show in the outcome.
@Suite struct NewRowsTests {
    /// More than a statement takes, and not a multiple of it.
    private static let many = NewRows.rowsPerStatement * 3 + 5

    private static let uniqueNames =
        "CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT UNIQUE, age INTEGER)"

    @Test("one row that is refused among many is held, and every other comes with its version")
    func refused() async throws {
        let device = try Device(schema: Self.uniqueNames, tables: [SyncTable("users")])
        for number in 1...Self.many {
            let name = number == Self.many / 2 ? "1" : "\(number)"
            device.gateway.write("users", key(number), PullTests.user(number, name))
        }
        try await device.sync()
        let others = Self.many - 1
        #expect(try device.count("SELECT count(*) FROM users") == others)
        #expect(try device.count("SELECT count(*) FROM _sync_rows WHERE version = 1") == others)
        #expect(device.engine.status.heldCount == 1)
        #expect(try device.queue().isEmpty)
        try device.execute("UPDATE users SET age = 1 WHERE name = '2'")
        try await device.sync()
        #expect(device.gateway.rows("users")[key(2)]?.contains("\"age\":1") == true)
    }

    @Test("new rows, known ones, deletes and a row that comes twice arrive in one page as they are")
    func mixed() async throws {
        let device = try Device()
        for number in 1...Self.many {
            device.gateway.write("users", key(number), PullTests.user(number))
        }
        try await device.sync()
        for number in 1...2 * Self.many where number % 3 != 0 {
            device.gateway.write("users", key(number), PullTests.user(number, "b"))
            device.gateway.write(
                "posts", key(1000 + number), PullTests.post(1000 + number, of: number))
        }
        device.gateway.write("users", key(1), nil)
        device.gateway.write("users", key(2 * Self.many), PullTests.user(2 * Self.many, "c"))
        try await device.sync()
        let server = device.gateway.rows("users")
        #expect(try device.count("SELECT count(*) FROM users") == server.count)
        for (id, name) in [(2, "b"), (3, "a"), (Self.many + 2, "b"), (2 * Self.many, "c")]
        where server[key(id)] != nil {
            #expect(try device.text("SELECT name FROM users WHERE id = ?", [key(id)]) == name)
        }
        #expect(
            try device.count("SELECT count(*) FROM posts") == device.gateway.rows("posts").count)
        #expect(try device.queue().isEmpty)
    }

    @Test("the app's own triggers see every row, and one that refuses a row leaves nothing of it")
    func appTriggers() async throws {
        let device = try Device(
            schema: """
                CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT, age INTEGER);
                CREATE TABLE seen (name TEXT UNIQUE);
                CREATE TRIGGER see AFTER INSERT ON users BEGIN
                  INSERT INTO seen VALUES (NEW.name);
                END;
                """, tables: [SyncTable("users")])
        for number in 1...Self.many {
            let name = number == Self.many / 2 ? "1" : "\(number)"
            device.gateway.write("users", key(number), PullTests.user(number, name))
        }
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM seen") == Self.many - 1)
        #expect(try device.count("SELECT count(*) FROM users") == Self.many - 1)
        #expect(device.engine.status.heldCount == 1)
    }

    @Test("a clause of the table's own for conflicts replaces no row by the server's")
    func clauseOfTheTable() async throws {
        let schema = Self.uniqueNames.replacing("UNIQUE", with: "UNIQUE ON CONFLICT REPLACE")
        let device = try Device(schema: schema, tables: [SyncTable("users")])
        for number in 1...Self.many {
            let name = number == Self.many ? "1" : "\(number)"
            device.gateway.write("users", key(number), PullTests.user(number, name))
        }
        try await device.engine.fetchChanges()
        #expect(try device.text("SELECT id FROM users WHERE name = '1'") == key(1))
        #expect(try await device.engine.heldRows.map(\.key) == [key(Self.many)])
    }

    @Test(
        "keys in other spellings, blobs, NULLs and columns that are unknown here come as they are")
    func values() async throws {
        let device = try Device(
            schema: "CREATE TABLE files (id BLOB PRIMARY KEY NOT NULL, data BLOB, size REAL)",
            tables: [SyncTable("files")])
        for number in 1...Self.many {
            device.gateway.write(
                "files", key(number),
                #"{"id":"\#(key(number))","data":"AQID","size":null,"later":\#(number)}"#)
        }
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM files WHERE length(id) = 16") == Self.many)
        #expect(
            try device.count("SELECT count(*) FROM files WHERE data = x'010203' AND size IS NULL")
                == Self.many)
        #expect(try device.count("SELECT count(*) FROM _sync_extra") == Self.many)
        try device.execute("UPDATE files SET size = 1.5 WHERE id = (SELECT min(id) FROM files)")
        try await device.sync()
        #expect(device.gateway.rows("files")[key(1)]?.contains(#""later":1"#) == true)
        #expect(try device.queue().isEmpty)
    }
}
