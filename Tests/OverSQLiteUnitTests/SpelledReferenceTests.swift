import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// References are spelled the way the key that they name is spelled on this device.
@Suite struct SpelledReferenceTests {
    /// As `UUID().uuidString` spells it.
    static let capital = "AAAAAAAA-0000-4000-8000-00000000000A"
    static let small = capital.lowercased()

    static func post(_ number: Int, of user: String, _ title: String) -> String {
        #"{"id":"\#(key(number))","user_id":"\#(user)","title":"\#(title)"}"#
    }

    private func hasNothingOpen(_ device: Device) throws {
        #expect(try device.count("SELECT count(*) FROM pragma_foreign_key_check") == 0)
        #expect(try device.count("SELECT count(*) FROM _sync_held") == 0)
        #expect(try device.queue().isEmpty)
    }

    @Test(
        "children that a back end writes find their parent, however this device spells its key",
        arguments: [1, 2, 1000], [capital, capital.replacing("-", with: ""), small])
    func backEnd(pageLimit: Int, spelling: String) async throws {
        let gateway = InMemoryGateway()
        let phone = try Device("phone", gateway) { $0.pageLimit = pageLimit }
        let laptop = try Device("laptop", gateway) { $0.pageLimit = pageLimit }
        try phone.execute("INSERT INTO users (id, name) VALUES (?, 'Ann')", [spelling])
        try phone.execute(
            "INSERT INTO posts (id, user_id, title) VALUES (?, ?, 'Hi')", [key(1), spelling])
        try await phone.sync()
        #expect(gateway.rows("posts")[key(1)]?.contains(#""user_id":"\#(Self.small)""#) == true)
        gateway.write("posts", key(1), Self.post(1, of: Self.small, "touched"))
        gateway.write("posts", key(2), Self.post(2, of: Self.small, "second"))
        for device in [phone, laptop] {
            try await device.sync()
            #expect(
                try device.lines(
                    "SELECT u.id, title FROM posts JOIN users u ON u.id = user_id ORDER BY title")
                    == ["\(spelling)|second", "\(spelling)|touched"])
            try hasNothingOpen(device)
        }
    }

    @Test("a child comes before its parent, whose key is in capitals", arguments: [1, 1000])
    func parentLater(pageLimit: Int) async throws {
        let device = try Device { $0.pageLimit = pageLimit }
        device.gateway.write("posts", key(1), Self.post(1, of: Self.small, "a"))
        device.gateway.write("users", Self.small, #"{"id":"\#(Self.capital)","name":"Ann"}"#)
        try await device.sync()
        #expect(try device.lines("SELECT user_id FROM posts") == [Self.capital])
        try hasNothingOpen(device)
    }

    @Test("a child that was held for its parent's spelling is taken by the next sync")
    func heldBefore() async throws {
        let device = try Device()
        try device.execute("INSERT INTO users (id) VALUES (?)", [Self.capital])
        try await device.sync()
        try device.execute(
            """
            INSERT INTO _sync_held (tbl, key, version, payload, reason)
            VALUES (2, ?, 7, ?, 'its parent is missing')
            """,
            [key(1), Self.post(1, of: Self.small, "held")])
        try await device.sync()
        #expect(try device.lines("SELECT user_id, title FROM posts") == ["\(Self.capital)|held"])
        try hasNothingOpen(device)
    }

    @Test("rows that refer to their own table form one tree", arguments: [1, 3, 1000])
    func tree(pageLimit: Int) async throws {
        let schema = """
            CREATE TABLE folders (id TEXT PRIMARY KEY NOT NULL, inside TEXT REFERENCES folders, n)
            """
        let gateway = InMemoryGateway()
        let tables = [SyncTable("folders")]
        let one = try Device("one", gateway, schema: schema, tables: tables)
        let two = try Device("two", gateway, schema: schema, tables: tables) {
            $0.pageLimit = pageLimit
        }
        let keys = (1...9).map { key(0xA0 + $0).replacing("0000-4000", with: "ABCD-4000") }
        for (index, folder) in keys.enumerated() {
            try one.execute(
                "INSERT INTO folders VALUES (?, ?, 0)",
                [folder, index == 0 ? nil : keys[index - 1]])
        }
        try one.execute("UPDATE folders SET inside = id WHERE inside IS NULL")
        try await one.sync()
        for folder in keys {
            let parent = folder.lowercased()
            gateway.write(
                "folders", key(Int(folder.suffix(2)) ?? 0),
                #"{"id":"\#(key(Int(folder.suffix(2)) ?? 0))","inside":"\#(parent)","n":1}"#)
        }
        for device in [one, two] {
            try await device.sync()
            #expect(
                try device.count("SELECT count(*) FROM folders c JOIN folders p ON p.id = c.inside")
                    == 18)
            try hasNothingOpen(device)
        }
    }

    @Test("a key that is a reference itself is spelled as its parent's, and so are its children")
    func sharedKey() async throws {
        let schema = """
            CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, visit TEXT REFERENCES visits);
            CREATE TABLE visits (
              id TEXT PRIMARY KEY NOT NULL REFERENCES acts (id) ON DELETE CASCADE, mode TEXT);
            CREATE TABLE acts (id TEXT PRIMARY KEY NOT NULL, at TEXT);
            """
        let gateway = InMemoryGateway()
        let tables = ["notes", "visits", "acts"].map { SyncTable($0) }
        gateway.write("notes", key(1), #"{"id":"\#(key(1))","visit":"\#(Self.small)"}"#)
        gateway.write("visits", Self.small, #"{"id":"\#(Self.small)","mode":"nfc"}"#)
        gateway.write("acts", Self.small, #"{"id":"\#(Self.capital)","at":"now"}"#)
        for pageLimit in [1, 1000] {
            let device = try Device("d\(pageLimit)", gateway, schema: schema, tables: tables) {
                $0.pageLimit = pageLimit
            }
            try await device.sync()
            #expect(
                try device.lines(
                    """
                    SELECT n.visit, v.id, a.id
                    FROM notes n JOIN visits v ON v.id = visit JOIN acts a ON a.id = v.id
                    """
                ) == ["\(Self.capital)|\(Self.capital)|\(Self.capital)"])
            try hasNothingOpen(device)
            try device.execute("UPDATE visits SET mode = 'qr \(pageLimit)'")
            try await device.sync()
            #expect(gateway.rows("visits").count == 1)
        }
    }

    @Test("a reference of several columns is spelled like the key among them")
    func severalColumns() async throws {
        let device = try Device(
            schema: """
                CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, team TEXT, UNIQUE (team, id));
                CREATE TABLE posts (id TEXT PRIMARY KEY NOT NULL, team TEXT, user_id TEXT,
                  FOREIGN KEY (team, user_id) REFERENCES users (team, id));
                """)
        try device.execute("INSERT INTO users VALUES (?, 'Red')", [Self.capital])
        try await device.sync()
        device.gateway.write(
            "posts", key(1), #"{"id":"\#(key(1))","team":"Red","user_id":"\#(Self.small)"}"#)
        try await device.sync()
        #expect(try device.lines("SELECT team, user_id FROM posts") == ["Red|\(Self.capital)"])
        try hasNothingOpen(device)
    }

    @Test("a column that the app names as a reference is spelled so, too, whoever comes first")
    func named() async throws {
        let schema = """
            CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT);
            CREATE TABLE posts (id TEXT PRIMARY KEY NOT NULL, user_id TEXT);
            """
        let device = try Device(
            schema: schema,
            tables: [SyncTable("posts", references: ["User_ID": "Users"]), SyncTable("users")])
        device.gateway.write("posts", key(1), #"{"id":"\#(key(1))","user_id":"\#(Self.small)"}"#)
        try await device.sync()
        device.gateway.write("users", Self.small, #"{"id":"\#(Self.capital)","name":"Ann"}"#)
        try await device.sync()
        device.gateway.write("posts", key(2), #"{"id":"\#(key(2))","user_id":"\#(Self.small)"}"#)
        try await device.sync()
        #expect(
            try device.count("SELECT count(*) FROM posts JOIN users ON users.id = user_id") == 2)
        try hasNothingOpen(device)
    }

    @Test("a column that is named as a reference and does not exist is a mistake that is told")
    func namedWrongly() throws {
        #expect(
            throws: SyncError.unusableTable("posts", "it has no column author: check references")
        ) {
            try Device(tables: [
                SyncTable("users"), SyncTable("posts", references: ["author": "users"]),
            ])
        }
    }

    @Test("two spellings of a reference are no edit and no clash")
    func noClash() async throws {
        let device = try Device()
        try device.execute("INSERT INTO users (id) VALUES (?)", [Self.capital])
        try device.execute(
            "INSERT INTO posts (id, user_id, title) VALUES (?, ?, 'a')", [key(1), Self.capital])
        try await device.sync()
        device.gateway.write("posts", key(1), Self.post(1, of: Self.small, "theirs"))
        try device.execute("UPDATE posts SET body = 'mine'")
        try await device.sync()
        #expect(
            try device.lines("SELECT user_id, title, body FROM posts")
                == ["\(Self.capital)|theirs|mine"])
        #expect(try await device.engine.settledConflicts.isEmpty)
        try hasNothingOpen(device)
    }

    @Test("a discarded edit gets back the reference as it is spelled here")
    func discarded() async throws {
        let device = try Device()
        device.gateway.write("users", Self.small, #"{"id":"\#(Self.capital)"}"#)
        device.gateway.write("posts", key(1), Self.post(1, of: Self.small, "a"))
        try await device.sync()
        device.gateway.refuse("posts", key(1), reason: "bad_payload")
        try device.execute("UPDATE posts SET user_id = NULL")
        try await device.sync()
        let change = try #require(try await device.engine.rejectedChanges.first)
        try await device.engine.discard(change)
        #expect(try device.lines("SELECT user_id FROM posts") == [Self.capital])
        try hasNothingOpen(device)
    }

    @Test("a reference to a key of 16 bytes finds it, however the server writes it")
    func blobs() async throws {
        let schema = """
            CREATE TABLE users (id BLOB PRIMARY KEY NOT NULL, name TEXT);
            CREATE TABLE posts (id BLOB PRIMARY KEY NOT NULL, user_id BLOB REFERENCES users, t);
            """
        let gateway = InMemoryGateway()
        let one = try Device("one", gateway, schema: schema)
        let two = try Device("two", gateway, schema: schema)
        try one.execute("INSERT INTO users VALUES (x'AAAAAAAA00004000800000000000000A', 'Ann')")
        try one.execute(
            "INSERT INTO posts SELECT x'00000000000040008000000000000001', id, 't' FROM users")
        try await one.sync()
        gateway.write("posts", key(2), #"{"id":"\#(key(2))","user_id":"\#(Self.capital)"}"#)
        for device in [one, two] {
            try await device.sync()
            #expect(
                try device.count("SELECT count(*) FROM posts JOIN users u ON u.id = user_id") == 2)
            try hasNothingOpen(device)
        }
    }

    @Test("references to text keys travel byte by byte, whatever collation their column declares")
    func texts() async throws {
        let schema = """
            CREATE TABLE tags (name TEXT PRIMARY KEY NOT NULL);
            CREATE TABLE uses (
              id TEXT PRIMARY KEY NOT NULL, tag TEXT COLLATE NOCASE REFERENCES tags (name));
            """
        let gateway = InMemoryGateway()
        let tables = [SyncTable("tags", keyKind: .text), SyncTable("uses")]
        let one = try Device("one", gateway, schema: schema, tables: tables)
        let two = try Device("two", gateway, schema: schema, tables: tables)
        for (number, tag) in ["work", "Work", Self.capital, Self.small].enumerated() {
            try one.execute("INSERT INTO tags VALUES (?)", [tag])
            try one.execute("INSERT INTO uses VALUES (?, ?)", [key(number + 1), tag])
        }
        try await one.sync()
        try await two.sync()
        let query = "SELECT id, tag FROM uses ORDER BY id"
        #expect(try two.lines(query) == one.lines(query))
        try hasNothingOpen(two)
    }
}
