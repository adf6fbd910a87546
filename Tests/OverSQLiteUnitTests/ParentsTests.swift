import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Applying rows that point to each other: parents and children that come, wait and go.
@Suite struct ParentsTests {
    @Test("C1: an update of a parent removes no children")
    func parentUpdate() async throws {
        let device = try Device()
        device.gateway.write("users", key(1), PullTests.user(1))
        device.gateway.write("posts", key(2), PullTests.post(2, of: 1))
        try await device.sync()
        device.gateway.write("users", key(1), PullTests.user(1, "b"))
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM posts") == 1)
        #expect(try device.queue().isEmpty)
    }

    @Test("a child whose parent comes pages later is applied with it", arguments: 1...3)
    func parentLater(pageLimit: Int) async throws {
        let device = try Device { $0.pageLimit = pageLimit }
        device.gateway.write("posts", key(2), PullTests.post(2, of: 1))
        device.gateway.write("users", key(3), PullTests.user(3))
        device.gateway.write("users", key(1), PullTests.user(1))
        device.gateway.write("users", key(4), PullTests.user(4))
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM posts") == 1)
        #expect(try device.count("SELECT count(*) FROM _sync_held") == 0)
    }

    @Test("a child whose parent does not come is held, blocks nobody, and is applied when it does")
    func parentMissing() async throws {
        let device = try Device()
        device.gateway.write("posts", key(2), PullTests.post(2, of: 1))
        device.gateway.write("users", key(3), PullTests.user(3))
        try await device.sync()
        #expect(try device.lines("SELECT id FROM users") == [key(3)])
        #expect(try device.count("SELECT count(*) FROM posts") == 0)
        #expect(device.engine.status.heldCount == 1)
        device.gateway.write("users", key(1), PullTests.user(1))
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM posts") == 1)
        #expect(device.engine.status.heldCount == 0)
        #expect(try device.queue().isEmpty)
    }

    @Test("children that go with their parent by a cascade are deleted on the server too")
    func cascade() async throws {
        let device = try Device()
        device.gateway.write("users", key(1), PullTests.user(1))
        device.gateway.write("posts", key(2), PullTests.post(2, of: 1))
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
        device.gateway.write("users", key(1), PullTests.user(1))
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
        device.gateway.write("users", key(1), PullTests.user(1))
        try await device.sync()
        device.gateway.write("users", key(1), nil)
        device.gateway.write("users", key(1), PullTests.user(1, "again"))
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
        device.gateway.write("users", key(1), PullTests.user(1))
        device.gateway.write("posts", key(2), PullTests.post(2, of: 1))
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
        device.gateway.write("users", key(1), PullTests.user(1))
        device.gateway.write("posts", key(2), PullTests.post(2, of: 1))
        try await device.sync()
        device.gateway.write("users", key(1), nil)
        device.gateway.write("users", key(3), PullTests.user(3))
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
        device.gateway.write("users", key(1), PullTests.user(1))
        try await device.sync()
        try device.execute("INSERT INTO drafts (user_id) VALUES (?)", [key(1)])
        device.gateway.write("users", key(1), nil)
        device.gateway.write("users", key(3), PullTests.user(3))
        try await device.sync()
        #expect(try device.lines("SELECT id FROM users") == [key(1), key(3)])
        try device.execute("DELETE FROM drafts")
        device.gateway.write("users", key(4), PullTests.user(4))
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
        device.gateway.write("posts", key(2), PullTests.post(2, of: 1))
        device.gateway.write("users", key(3), PullTests.user(3))
        try await device.sync()
        #expect(try device.lines("SELECT id FROM users") == [key(3)])
        #expect(device.engine.status.heldCount == 1)
        device.gateway.write("users", key(1), PullTests.user(1))
        try await device.sync()
        #expect(try device.lines("SELECT id FROM posts") == [key(2)])
        #expect(device.engine.status.heldCount == 0)
    }

    @Test(
        "a held row whose parent is still missing does not hold up a delete in its parent's table")
    func heldBesideDelete() async throws {
        let device = try Device()
        device.gateway.write("posts", key(2), PullTests.post(2, of: 1))
        device.gateway.write("users", key(3), PullTests.user(3))
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
            device.gateway.write("posts", key(row), PullTests.post(row, of: owner))
        }
        try await device.sync()
        #expect(device.engine.status.heldCount == rows.count)
        device.gateway.write("users", key(parent), PullTests.user(parent))
        // Each page tries all but one of them, chosen by chance.
        for page in 1...20 where device.engine.status.heldCount == rows.count {
            device.gateway.write("users", key(1000 + page), PullTests.user(1000 + page))
            try await device.sync()
        }
        #expect(try device.lines("SELECT id FROM posts") == [key(rows.upperBound)])
        #expect(device.engine.status.heldCount == rows.count - 1)
    }
}
