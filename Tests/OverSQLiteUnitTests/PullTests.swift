import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Applying the feed.
@Suite struct PullTests {
    static func user(_ number: Int, _ name: String = "a") -> String {
        #"{"id":"\#(key(number))","name":"\#(name)"}"#
    }

    static func post(_ number: Int, of user: Int?) -> String {
        #"{"id":"\#(key(number))","user_id":\#(user.map { "\"\(key($0))\"" } ?? "null")}"#
    }

    @Test("C5 H2: a page that was under way when a row was edited does not overwrite the edit")
    func editWhilePageIsUnderWay() async throws {
        let device = try Device { $0.pageLimit = 1 }
        device.gateway.write("users", key(1), Self.user(1))
        try await device.sync()
        device.gateway.write("users", key(1), #"{"id":"\#(key(1))","name":"a","age":7}"#)
        device.gateway.next(
            .download, .holdAnswer(until: device.writing("UPDATE users SET name = 'local'")))
        try await device.engine.fetchChanges()
        #expect(try device.lines("SELECT name, age FROM users") == ["local|7"])
        #expect(try device.queue() == ["UPDATE|2"])
    }

    @Test("C6: the cursor moves by pages alone, not by uploads")
    func cursor() async throws {
        let device = try Device()
        try await device.sync()
        device.gateway.write("users", key(1), Self.user(1))
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(2)])
        try await device.engine.sendChanges()
        #expect(try device.count("SELECT cursor FROM _sync_state") == 0)
        try await device.engine.fetchChanges()
        #expect(try device.count("SELECT count(*) FROM users") == 2)
        #expect(try device.count("SELECT cursor FROM _sync_state") == 2)
    }

    @Test("C7: reading goes on to the end of the window however little of a page is new")
    func hydrateSkippingDeletes() async throws {
        let device = try Device { $0.pageLimit = 2 }
        for number in 1...5 {
            device.gateway.write("users", key(number), Self.user(number))
            if number < 5 { device.gateway.write("users", key(number), nil) }
        }
        device.gateway.write("elsewhere", "x", "{}")
        device.gateway.write("users", key(6), Self.user(6))
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM users") == 2)
        #expect(device.engine.status.hasFinishedFirstSync)
        #expect(try device.queue().isEmpty)
    }

    @Test("a failed page leaves the pages before it, and reading goes on from there")
    func brokenOff() async throws {
        let device = try Device { $0.pageLimit = 2 }
        for number in 1...6 { device.gateway.write("users", key(number), Self.user(number)) }
        device.gateway.next(.download, .holdAnswer {})
        device.gateway.next(.download, .loseRequest)
        await #expect(throws: SyncError.self) { try await device.sync() }
        #expect(try device.count("SELECT count(*) FROM users") == 2)
        #expect(!device.engine.status.hasFinishedFirstSync)
        try device.reopen()
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM users") == 6)
        #expect(
            device.gateway.requests.last { $0.path.hasSuffix("download") }?.query["include_self"]
                == "true")
    }

    @Test("a device that lost its rows gets its own back, and never uses a change id twice")
    func ownRowsComeBack() async throws {
        let gateway = InMemoryGateway()
        let before = try Device("one", gateway)
        for number in 1...3 {
            try before.execute("INSERT INTO users (id) VALUES (?)", [key(number)])
        }
        try await before.sync()
        let after = try Device("one", gateway)
        try await after.sync()
        #expect(try after.count("SELECT count(*) FROM users") == 3)
        try after.execute("UPDATE users SET name = 'b'")
        try await after.sync()
        #expect(gateway.logCount() == 6)
    }

    @Test("C11: columns the server does not name keep their values, and those it does are quoted")
    func partialPayload() async throws {
        let device = try Device()
        device.gateway.write("users", key(1), #"{"id":"\#(key(1))","name":"a","age":3}"#)
        try await device.sync()
        device.gateway.write(
            "users", key(1), #"{"id":"\#(key(1))","name":"b","age\") VALUES (1); --":1}"#)
        try await device.sync()
        #expect(try device.lines("SELECT name, age FROM users") == ["b|3"])
    }

    @Test(
        "H8: values of columns this app does not have come back with its edits, and fill the column later"
    )
    func unknownColumns() async throws {
        let device = try Device()
        device.gateway.write("users", key(1), #"{"id":"\#(key(1))","name":"a","mail":"m","age":1}"#)
        try await device.sync()
        try device.execute("UPDATE users SET name = 'b'")
        try await device.sync()
        #expect(
            device.gateway.rows("users")[key(1)]
                == #"{"id":"\#(key(1))","name":"b","age":1,"mail":"m"}"#)
        try device.reopen { try $0.execute(sql: "ALTER TABLE users ADD COLUMN mail TEXT") }
        #expect(try device.text("SELECT mail FROM users") == "m")
        #expect(try device.queue().isEmpty)
        try device.execute("UPDATE users SET mail = 'n'")
        try await device.sync()
        #expect(
            device.gateway.rows("users")[key(1)]
                == #"{"id":"\#(key(1))","name":"b","age":1,"mail":"n"}"#)
    }

    @Test(
        "H8: what was set aside fills its column once, and does not come back with the next new column"
    )
    func unknownColumnsTwice() async throws {
        let device = try Device()
        device.gateway.write(
            "users", key(1), #"{"id":"\#(key(1))","name":"a","mail":"m","phone":"p"}"#)
        try await device.sync()
        try device.reopen { try $0.execute(sql: "ALTER TABLE users ADD COLUMN mail TEXT") }
        try device.execute("UPDATE users SET mail = 'n'")
        try await device.sync()
        try device.execute("UPDATE users SET mail = 'unsent'")
        try device.reopen { try $0.execute(sql: "ALTER TABLE users ADD COLUMN phone TEXT") }
        #expect(try device.lines("SELECT mail, phone FROM users") == ["unsent|p"])
        try await device.sync()
        #expect(
            device.gateway.rows("users")[key(1)]
                == #"{"id":"\#(key(1))","name":"a","age":null,"mail":"unsent","phone":"p"}"#)
    }

    @Test(
        "H8: a value that a new column does not take, or not yet, is no end: its row is read again")
    func unfitColumns() async throws {
        let device = try Device()
        let (post, folder) = (key(1), key(9))
        device.gateway.write(
            "posts", post,
            #"{"id":"\#(post)","user_id":null,"title":"a","folder_id":"\#(folder)","rank":null}"#)
        device.gateway.write("folders", folder, #"{"id":"\#(folder)","name":"f"}"#)
        try await device.sync()
        try device.reopen(tables: ["users", "posts", "folders"].map { SyncTable($0) }) { db in
            try db.execute(
                sql: """
                    CREATE TABLE folders (id TEXT PRIMARY KEY NOT NULL, name TEXT);
                    ALTER TABLE posts ADD COLUMN folder_id TEXT REFERENCES folders (id);
                    ALTER TABLE posts ADD COLUMN rank INTEGER NOT NULL DEFAULT 0;
                    """)
        }
        try await device.sync()
        // The server's null is not for this column: the row is held, with all its other values.
        #expect(device.engine.status.heldCount == 1)
        device.gateway.write(
            "posts", post,
            #"{"id":"\#(post)","user_id":null,"title":"a","folder_id":"\#(folder)","rank":7}"#)
        try await device.sync()
        #expect(try device.lines("SELECT title, folder_id, rank FROM posts") == ["a|\(folder)|7"])
        #expect(device.engine.status.heldCount == 0)
        #expect(try device.queue().isEmpty)
    }

    // MARK: Parents and children

    @Test("C1: an update of a parent removes no children")
    func parentUpdate() async throws {
        let device = try Device()
        device.gateway.write("users", key(1), Self.user(1))
        device.gateway.write("posts", key(2), Self.post(2, of: 1))
        try await device.sync()
        device.gateway.write("users", key(1), Self.user(1, "b"))
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM posts") == 1)
        #expect(try device.queue().isEmpty)
    }

    @Test("a child whose parent comes pages later is applied with it", arguments: 1...3)
    func parentLater(pageLimit: Int) async throws {
        let device = try Device { $0.pageLimit = pageLimit }
        device.gateway.write("posts", key(2), Self.post(2, of: 1))
        device.gateway.write("users", key(3), Self.user(3))
        device.gateway.write("users", key(1), Self.user(1))
        device.gateway.write("users", key(4), Self.user(4))
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM posts") == 1)
        #expect(try device.count("SELECT count(*) FROM _sync_held") == 0)
    }

    @Test("a child whose parent does not come is held, blocks nobody, and is applied when it does")
    func parentMissing() async throws {
        let device = try Device()
        device.gateway.write("posts", key(2), Self.post(2, of: 1))
        device.gateway.write("users", key(3), Self.user(3))
        try await device.sync()
        #expect(try device.lines("SELECT id FROM users") == [key(3)])
        #expect(try device.count("SELECT count(*) FROM posts") == 0)
        #expect(device.engine.status.heldCount == 1)
        device.gateway.write("users", key(1), Self.user(1))
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM posts") == 1)
        #expect(device.engine.status.heldCount == 0)
        #expect(try device.queue().isEmpty)
    }

    @Test("children that go with their parent by a cascade are deleted on the server too")
    func cascade() async throws {
        let device = try Device()
        device.gateway.write("users", key(1), Self.user(1))
        device.gateway.write("posts", key(2), Self.post(2, of: 1))
        try await device.sync()
        device.gateway.write("users", key(1), nil)
        try await device.engine.fetchChanges()
        #expect(
            try device.lines("SELECT op, base, key FROM _sync_pending") == ["DELETE|1|\(key(2))"])
        try await device.sync()
        #expect(device.gateway.rows("posts").isEmpty)
    }

    @Test("an edited child that goes with its parent is reported with what was lost")
    func cascadeOfAnEdit() async throws {
        let device = try Device()
        device.gateway.write("users", key(1), Self.user(1))
        try await device.sync()
        try device.execute(
            "INSERT INTO posts (id, user_id, title) VALUES (?, ?, 'mine')", [key(2), key(1)])
        device.gateway.write("users", key(1), nil)
        let events = device.engine.events
        try await device.engine.fetchChanges()
        guard case .conflict(let report)? = await firstEvent(events, unless: device) else {
            Issue.record("the loss was not reported")
            return
        }
        #expect(report.outcome == .removedWithParent)
        #expect(report.lost["title"] == "mine".databaseValue)
        try await device.sync()
        #expect(device.gateway.rows("posts").isEmpty)
    }

    @Test("a row deleted and made again on the server within a page stays")
    func deletedAndMadeAgain() async throws {
        let device = try Device()
        device.gateway.write("users", key(1), Self.user(1))
        try await device.sync()
        device.gateway.write("users", key(1), nil)
        device.gateway.write("users", key(1), Self.user(1, "again"))
        try await device.sync()
        #expect(try device.lines("SELECT name FROM users") == ["again"])
        #expect(try device.queue().isEmpty)
        #expect(device.gateway.rows("users").count == 1)
    }

    @Test("a delete that a RESTRICT child forbids waits until the child goes")
    func restrict() async throws {
        let device = try Device(
            schema: """
                CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT, age INTEGER);
                CREATE TABLE posts (id TEXT PRIMARY KEY NOT NULL, user_id TEXT REFERENCES users ON DELETE RESTRICT)
                """)
        device.gateway.write("users", key(1), Self.user(1))
        device.gateway.write("posts", key(2), Self.post(2, of: 1))
        try await device.sync()
        device.gateway.write("users", key(1), nil)
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM users") == 1)
        #expect(device.engine.status.heldCount == 1)
        device.gateway.write("posts", key(2), nil)
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM users") == 0)
    }

    @Test("a parent's delete waits while a child without a cascade is here, and blocks nobody")
    func noAction() async throws {
        let device = try Device(
            schema: """
                CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT, age INTEGER);
                CREATE TABLE posts (id TEXT PRIMARY KEY NOT NULL, user_id TEXT REFERENCES users)
                """)
        device.gateway.write("users", key(1), Self.user(1))
        device.gateway.write("posts", key(2), Self.post(2, of: 1))
        try await device.sync()
        device.gateway.write("users", key(1), nil)
        device.gateway.write("users", key(3), Self.user(3))
        try await device.sync()
        #expect(try device.lines("SELECT id FROM users") == [key(1), key(3)])
        device.gateway.write("posts", key(2), nil)
        try await device.sync()
        #expect(try device.lines("SELECT id FROM users") == [key(3)])
    }

    @Test("a parent's delete waits for a child of a table that is not synced, and blocks nobody")
    func childOfOtherTable() async throws {
        let device = try Device(
            schema: postsAndUsers
                + "CREATE TABLE drafts (id INTEGER PRIMARY KEY, user_id TEXT REFERENCES users)")
        device.gateway.write("users", key(1), Self.user(1))
        try await device.sync()
        try device.execute("INSERT INTO drafts (user_id) VALUES (?)", [key(1)])
        device.gateway.write("users", key(1), nil)
        device.gateway.write("users", key(3), Self.user(3))
        try await device.sync()
        #expect(try device.lines("SELECT id FROM users") == [key(1), key(3)])
        try device.execute("DELETE FROM drafts")
        device.gateway.write("users", key(4), Self.user(4))
        try await device.sync()
        #expect(try device.lines("SELECT id FROM users") == [key(3), key(4)])
    }

    @Test(
        "a child whose parent is missing is found without a rowid, behind a column of its name, and by several columns",
        arguments: [
            """
            CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT, age INTEGER);
            CREATE TABLE posts (id TEXT PRIMARY KEY NOT NULL, user_id TEXT REFERENCES users) WITHOUT ROWID
            """,
            """
            CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT, age INTEGER);
            CREATE TABLE posts (id TEXT PRIMARY KEY NOT NULL, user_id TEXT REFERENCES users (id), rowid TEXT)
            """,
            """
            CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT, age INTEGER, UNIQUE (id, name));
            CREATE TABLE posts (id TEXT PRIMARY KEY NOT NULL, user_id TEXT, "of user" TEXT DEFAULT 'a',
                FOREIGN KEY (user_id, "of user") REFERENCES users (id, name))
            """,
        ])
    func orphans(schema: String) async throws {
        let device = try Device(schema: schema)
        device.gateway.write("posts", key(2), Self.post(2, of: 1))
        device.gateway.write("users", key(3), Self.user(3))
        try await device.sync()
        #expect(try device.lines("SELECT id FROM users") == [key(3)])
        #expect(device.engine.status.heldCount == 1)
        device.gateway.write("users", key(1), Self.user(1))
        try await device.sync()
        #expect(try device.lines("SELECT id FROM posts") == [key(2)])
        #expect(device.engine.status.heldCount == 0)
    }

    @Test(
        "a held row whose parent is still missing does not hold up a delete in its parent's table")
    func heldBesideDelete() async throws {
        let device = try Device()
        device.gateway.write("posts", key(2), Self.post(2, of: 1))
        device.gateway.write("users", key(3), Self.user(3))
        try await device.sync()
        device.gateway.write("users", key(3), nil)
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM users") == 0)
        #expect(device.engine.status.heldCount == 1)
    }

    @Test("a held row that can be written now is not left behind all those that cannot")
    func manyHeld() async throws {
        let device = try Device()
        let (parent, others) = (1, 2)
        let rows = 10...(10 + HeldRows.retriesPerPage)
        for row in rows {
            let owner = row == rows.upperBound ? parent : others
            device.gateway.write("posts", key(row), Self.post(row, of: owner))
        }
        try await device.sync()
        #expect(device.engine.status.heldCount == rows.count)
        device.gateway.write("users", key(parent), Self.user(parent))
        // Each page tries all but one of them, chosen by chance.
        for page in 1...20 where device.engine.status.heldCount == rows.count {
            device.gateway.write("users", key(1000 + page), Self.user(1000 + page))
            try await device.sync()
        }
        #expect(try device.lines("SELECT id FROM posts") == [key(rows.upperBound)])
        #expect(device.engine.status.heldCount == rows.count - 1)
    }

    @Test("a row that a constraint of this database refuses is held, and the others come")
    func localConstraint() async throws {
        let device = try Device(
            schema:
                "CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT UNIQUE, age INTEGER)",
            tables: [SyncTable("users")])
        device.gateway.write("users", key(1), Self.user(1, "same"))
        device.gateway.write("users", key(2), Self.user(2, "same"))
        device.gateway.write("users", key(3), Self.user(3, "other"))
        try await device.sync()
        #expect(try device.lines("SELECT id FROM users ORDER BY id") == [key(1), key(3)])
        device.gateway.write("users", key(1), Self.user(1, "freed"))
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM users") == 3)
    }

    @Test("a page that does not move the cursor is refused instead of asked for again and again")
    func standingCursor() async throws {
        let device = try Device()
        let body = #"{"changes":[],"has_more":true,"next_after":0,"window_until":5}"#
        device.gateway.next(
            .download, .answerInstead(status: 200, body))
        await #expect(throws: SyncError.self) { try await device.sync() }
        #expect(device.gateway.requests.map(\.path) == ["/sync/bootstrap", "/sync/download"])
    }

    @Test("observers of GRDB see what sync writes", .timeLimit(.minutes(1)))
    func observation() async throws {
        let device = try Device()
        let observation = ValueObservation.tracking {
            try Int.fetchOne($0, sql: "SELECT count(*) FROM users") ?? 0
        }
        .removeDuplicates()
        var counts = observation.values(in: device.database).makeAsyncIterator()
        #expect(try await counts.next() == 0)
        device.gateway.write("users", key(1), Self.user(1))
        try await device.sync()
        #expect(try await counts.next() == 1)
    }

    @Test("a table that joins later gets the rows that went past before")
    func tableJoinsLater() async throws {
        let device = try Device(tables: [SyncTable("users")])
        device.gateway.write("users", key(1), Self.user(1))
        device.gateway.write("posts", key(2), Self.post(2, of: 1))
        try await device.sync()
        try device.reopen(tables: [SyncTable("users"), SyncTable("posts")])
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM posts") == 1)
        #expect(try device.queue().isEmpty)
    }
}
