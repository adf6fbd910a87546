import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Migrations that rebuild a table, by the twelve steps of SQLite's manual.
@Suite struct RebuiltTableTests {
    private static let schema = """
        CREATE TABLE chats (id TEXT PRIMARY KEY NOT NULL, title TEXT, mode TEXT);
        CREATE TABLE messages (id TEXT PRIMARY KEY NOT NULL,
          chat_id TEXT NOT NULL REFERENCES chats (id) ON DELETE CASCADE, body TEXT);
        """
    private static let tables = [SyncTable("chats"), SyncTable("messages")]

    private static func device(_ name: String = "one", _ gateway: InMemoryGateway) throws -> Device
    {
        try Device(name, gateway, schema: schema, tables: tables)
    }

    private static func filled(_ device: Device, _ count: Int = 3) async throws {
        for number in 1...count {
            try device.execute(
                "INSERT INTO chats VALUES (?, 'title ' || ?, 'm')", [key(number), number])
            try device.execute(
                "INSERT INTO messages VALUES (?, ?, 'b')", [key(number + 100), key(number)])
        }
        try await device.sync()
    }

    /// A migration as GRDB's migrator runs it: foreign keys are off.
    private static func migrate(
        _ device: Device, _ copy: String, isImmediate: Bool = false, isLocal: Bool = false,
        columns: String = "id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL, mode TEXT"
    ) throws {
        var migrator = DatabaseMigrator()
        migrator.registerMigration(
            "anew", foreignKeyChecks: isImmediate ? .immediate : .deferred
        ) { db in
            func rebuild() throws {
                try db.execute(
                    sql: """
                        CREATE TABLE new_chats (\(columns));
                        INSERT INTO new_chats \(copy);
                        DROP TABLE chats;
                        ALTER TABLE new_chats RENAME TO chats;
                        """)
            }
            if isLocal {
                try SyncEngine.withLocalMigration(in: db, rebuild)
            } else {
                try rebuild()
            }
        }
        try migrator.migrate(device.database)
        try device.reopen()
    }

    private static let titles = "SELECT title FROM chats ORDER BY id"
    private static let upper = "SELECT id, upper(title), mode FROM chats"

    private static func titles(_ gateway: InMemoryGateway) -> [String] {
        gateway.rows("chats").sorted { $0.key < $1.key }.map {
            $0.value.firstMatch(of: /"title":"([^"]*)"/).map { String($0.1) } ?? "-"
        }
    }

    @Test("values that change while a table is copied are edits, and others are not sent")
    func transformed() async throws {
        let gateway = InMemoryGateway()
        let device = try Self.device("one", gateway)
        try await Self.filled(device)
        let before = gateway.logCount()
        try Self.migrate(
            device, "SELECT id, iif(title = 'title 2', 'new', title), mode FROM chats")
        try await device.sync()
        #expect(gateway.logCount() == before + 1)
        #expect(Self.titles(gateway) == ["title 1", "new", "title 3"])
        #expect(try device.lines(Self.titles) == ["title 1", "new", "title 3"])
        #expect(try device.queue().isEmpty)
        #expect(device.engine.status.hasFinishedFirstSync)
        // The comparison is over: a later sync does not repeat it.
        let requests = gateway.requests.count
        try await device.sync()
        #expect(gateway.requests.count <= requests + 2)
        try device.execute("UPDATE chats SET mode = 'x'")
        try await device.sync()
        #expect(gateway.logCount() == before + 4)
    }

    @Test("a copy that changes nothing sends nothing, whatever the columns hold")
    func unchanged() async throws {
        let schema = """
            CREATE TABLE things (id TEXT PRIMARY KEY NOT NULL, a REAL, b STRING, c BLOB, d JSON, e,
              f BOOLEAN, g INTEGER)
            """
        let device = try Device(schema: schema, tables: [SyncTable("things")])
        device.gateway.write(
            "things", key(1),
            """
            {"id":"\(key(1))","a":0.1,"b":"0049123","c":"AQID","d":{"x":[1]},"e":"5","f":true,\
            "g":9007199254740993,"later":1}
            """)
        device.gateway.write("things", key(2), #"{"id":"\#(key(2))","a":null,"e":null}"#)
        try await device.sync()
        try device.reopen { db in
            try db.execute(
                sql: """
                    CREATE TABLE n (id TEXT PRIMARY KEY NOT NULL, a REAL, b TEXT, c BLOB, d JSON,
                      e TEXT, f BOOLEAN, g INTEGER, h DEFAULT 4);
                    INSERT INTO n (id, a, b, c, d, e, f, g) SELECT * FROM things;
                    DROP TABLE things; ALTER TABLE n RENAME TO things;
                    """)
        }
        try await device.sync()
        #expect(device.gateway.uploads.isEmpty)
        #expect(try device.queue().isEmpty)
        // The column can hold the server's text now.
        #expect(try device.text("SELECT b FROM things WHERE id = ?", [key(1)]) == "0049123")
    }

    @Test("devices that run the same migration send its changes once")
    func backfill() async throws {
        let gateway = InMemoryGateway()
        let one = try Self.device("one", gateway)
        let two = try Self.device("two", gateway)
        try await Self.filled(one)
        try await two.sync()
        let before = gateway.logCount()
        try Self.migrate(one, Self.upper)
        try Self.migrate(two, Self.upper)
        try await one.sync()
        #expect(gateway.logCount() == before + 3)
        try await two.sync()
        #expect(gateway.logCount() == before + 3)
        #expect(try two.lines(Self.titles) == ["TITLE 1", "TITLE 2", "TITLE 3"])
        #expect(try two.queue().isEmpty)
        #expect(try await two.engine.settledConflicts.isEmpty)
    }

    @Test("so do devices whose migration uses UPDATE")
    func backfillByUpdate() async throws {
        let gateway = InMemoryGateway()
        let one = try Self.device("one", gateway)
        let two = try Self.device("two", gateway)
        try await Self.filled(one)
        try await two.sync()
        let before = gateway.logCount()
        for device in [one, two] {
            try device.reopen { try $0.execute(sql: "UPDATE chats SET title = upper(title)") }
        }
        try await one.sync()
        try await two.sync()
        #expect(gateway.logCount() == before + 3)
        #expect(try two.queue().isEmpty)
    }

    @Test("another device's edit meets the new values by column, and both are kept")
    func otherEdit() async throws {
        let gateway = InMemoryGateway()
        let device = try Self.device("one", gateway)
        try await Self.filled(device)
        try Self.migrate(device, Self.upper)
        try await device.engine.fetchChanges()
        #expect(try device.queue() == ["UPDATE|1", "UPDATE|1", "UPDATE|1"])
        gateway.write(
            "chats", key(1), #"{"id":"\#(key(1))","title":"title 1","mode":"theirs"}"#)
        try await device.sync()
        let row = "SELECT title, mode FROM chats WHERE id = '\(key(1))'"
        #expect(try device.lines(row) == ["TITLE 1|theirs"])
        #expect(Self.titles(gateway) == ["TITLE 1", "TITLE 2", "TITLE 3"])
    }

    @Test("rows that are left out while copying come back, and an unsent edit goes on")
    func leftOut() async throws {
        let gateway = InMemoryGateway()
        let device = try Self.device("one", gateway)
        try device.execute("INSERT INTO chats VALUES (?, 'spam', 'm')", [key(9)])
        try await Self.filled(device)
        try device.execute("UPDATE chats SET mode = 'mine' WHERE id = ?", [key(3)])
        try Self.migrate(
            device, "SELECT id, upper(title), mode FROM chats WHERE title <> 'spam'")
        try await device.sync()
        let titles = ["TITLE 1", "TITLE 2", "TITLE 3", "spam"]
        #expect(try device.lines(Self.titles) == titles)
        #expect(Self.titles(gateway) == titles)
        #expect(gateway.rows("chats")[key(3)]?.contains("mine") == true)
        #expect(gateway.rows("messages").count == 3)
    }

    @Test(
        "a deletion that was not sent is sent after its table was made anew",
        arguments: [true, false])
    func deletedBefore(isFolded: Bool) async throws {
        let gateway = InMemoryGateway()
        let device = try Self.device("one", gateway)
        try await Self.filled(device, 4)
        try device.execute("DELETE FROM messages")
        try await device.sync()
        try device.execute("DELETE FROM chats WHERE id = ?", [key(1)])
        try device.execute("UPDATE chats SET mode = 'x' WHERE id = ?", [key(2)])
        if isFolded { #expect(try device.queue().count == 2) }
        try device.execute("DELETE FROM chats WHERE id = ?", [key(2)])
        try device.execute("UPDATE chats SET id = ? WHERE id = ?", [key(9), key(3)])
        try Self.migrate(device, "SELECT * FROM chats")
        try await device.sync()
        #expect(gateway.rows("chats").keys.sorted() == [key(4), key(9)])
        #expect(try device.lines("SELECT id FROM chats ORDER BY id") == [key(4), key(9)])
        #expect(try device.queue().isEmpty)
    }

    @Test(
        "an edit of a row that is left out while copying deletes nothing on the server",
        arguments: [true, false])
    func editedAndLeftOut(isFolded: Bool) async throws {
        let gateway = InMemoryGateway()
        let device = try Self.device("one", gateway)
        try await Self.filled(device, 2)
        try device.execute("DELETE FROM messages")
        try await device.sync()
        try device.execute("UPDATE chats SET mode = 'x'")
        if isFolded { #expect(try device.queue().count == 2) }
        try Self.migrate(device, "SELECT * FROM chats WHERE id = '\(key(1))'")
        try await device.sync()
        #expect(gateway.rows("chats").count == 2)
        #expect(try device.count("SELECT count(*) FROM chats") == 2)
        #expect(gateway.rows("chats")[key(1)]?.contains(#""x""#) == true)
    }

    @Test("values that change while a table is copied are edits, though the server loses its end")
    func lostMeanwhile() async throws {
        let gateway = InMemoryGateway()
        let device = try Self.device("one", gateway)
        try await Self.filled(device)
        gateway.restore(toSequence: gateway.logCount() - 1)
        try Self.migrate(device, Self.upper)
        try await device.sync()
        let titles = ["TITLE 1", "TITLE 2", "TITLE 3"]
        #expect(Self.titles(gateway) == titles)
        #expect(try device.lines(Self.titles) == titles)
        #expect(gateway.rows("messages").count == 3)
    }

    @Test("the comparison survives a process that ends in the middle of it")
    func interrupted() async throws {
        let gateway = InMemoryGateway()
        let device = try Device(
            "one", gateway, schema: Self.schema, tables: Self.tables, adjust: { $0.pageLimit = 2 })
        try await Self.filled(device, 6)
        try Self.migrate(device, Self.upper)
        gateway.next(.download, .holdAnswer {})
        gateway.next(.download, .loseRequest)
        await #expect(throws: SyncError.self) { try await device.sync() }
        try device.reopen()
        try await device.sync()
        #expect(Self.titles(gateway) == (1...6).map { "TITLE \($0)" })
    }

    @Test("what a migration declares local is neither sent nor undone")
    func local() async throws {
        let gateway = InMemoryGateway()
        let device = try Self.device("one", gateway)
        try await Self.filled(device)
        let before = gateway.logCount()
        try Self.migrate(device, Self.upper, isLocal: true)
        try await device.sync()
        #expect(gateway.logCount() == before)
        #expect(try device.lines(Self.titles) == ["TITLE 1", "TITLE 2", "TITLE 3"])
        // Afterwards edits are captured again.
        try device.execute("UPDATE chats SET mode = 'x' WHERE id = ?", [key(1)])
        try await device.sync()
        #expect(gateway.logCount() == before + 1)
        #expect(Self.titles(gateway) == ["TITLE 1", "title 2", "title 3"])
    }

    @Test(
        "statements in a local migration are not captured; what they delete comes back",
        arguments: [
            ("UPDATE chats SET title = 'local'", ["local", "local", "local"]),
            ("DELETE FROM chats WHERE title = 'title 2'", ["title 1", "title 2", "title 3"]),
            (
                "INSERT INTO chats VALUES ('\(key(9))', 'more', 'm')",
                ["title 1", "title 2", "title 3", "more"]
            ),
            (
                "REPLACE INTO chats SELECT id, 'other', mode FROM chats",
                ["other", "other", "other"]
            ),
        ])
    func localStatements(sql: String, titles: [String]) async throws {
        let gateway = InMemoryGateway()
        let device = try Self.device("one", gateway)
        try await Self.filled(device)
        // Its own rows are read, too: later readings know that they are older than the migration.
        try await device.sync()
        let before = gateway.logCount()
        try device.reopen { db in
            try SyncEngine.withLocalMigration(in: db) { try db.execute(sql: sql) }
        }
        try await device.sync()
        #expect(gateway.logCount() == before)
        #expect(try device.lines(Self.titles) == titles)
        #expect(try device.count("SELECT count(*) FROM messages") == 3)
        #expect(try device.queue().isEmpty)
        try device.execute("UPDATE chats SET mode = 'x' WHERE id = ?", [key(1)])
        #expect(try device.queue() == ["UPDATE|1"])
    }

    @Test("a local migration that fails leaves nothing, and one in a new database just runs")
    func localFailure() async throws {
        struct Failure: Error {}
        let device = try Self.device("one", InMemoryGateway())
        try await Self.filled(device)
        try await device.database.writeWithoutTransaction { db in
            _ = #expect(throws: Failure.self) {
                try SyncEngine.withLocalMigration(in: db) {
                    try db.execute(sql: "UPDATE chats SET title = 'x'")
                    throw Failure()
                }
            }
        }
        #expect(try device.lines(Self.titles) == ["title 1", "title 2", "title 3"])
        try device.execute("UPDATE chats SET mode = 'x'")
        #expect(try device.queue().count == 3)
        let queue = try DatabaseQueue()
        let found = try await queue.write { db in
            try SyncEngine.withLocalMigration(in: db) {
                try SyncEngine.withLocalMigration(in: db) { try Int.fetchOne(db, sql: "SELECT 7") }
            }
        }
        #expect(found == 7)
    }

    @Test("rows that went with a table that was dropped with foreign keys on are told of")
    func droppedParent() async throws {
        let device = try Self.device("one", InMemoryGateway())
        try await Self.filled(device)
        try Self.migrate(device, Self.upper, isImmediate: true)
        let notice = try #require(
            device.engine.status.notices.first { $0.kind == .droppedParent })
        #expect(notice.subject == "messages")
        #expect(notice.message.contains("3 rows") && notice.message.contains("chats"))
        #expect(notice.advice.contains("foreign_keys = OFF"))
    }

    @Test("no such notice comes where children are left, or nothing was deleted")
    func noNotice() async throws {
        let device = try Self.device("one", InMemoryGateway())
        try await Self.filled(device)
        try device.execute("DELETE FROM messages WHERE id = ?", [key(101)])
        try Self.migrate(device, Self.upper)
        #expect(!device.engine.status.notices.contains { $0.kind == .droppedParent })
        let other = try Self.device("two", InMemoryGateway())
        try Self.migrate(other, Self.upper)
        #expect(!other.engine.status.notices.contains { $0.kind == .droppedParent })
    }
}
