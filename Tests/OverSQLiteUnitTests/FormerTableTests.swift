import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// A version of the app that no longer syncs a table whose rows wait.
@Suite(.timeLimit(.minutes(1))) struct FormerTableTests {
    @Test(
        "rows of a table that is no longer synced hold up no others, and are sent when it returns")
    func starvation() async throws {
        let device = try Device { $0.uploadLimit = 2 }
        try await device.sync()
        for number in 1...3 {
            device.gateway.refuse("users", key(number), reason: "fk_missing")
            try device.execute("INSERT INTO users (id) VALUES (?)", [key(number)])
        }
        try await device.sync()
        try device.reopen(tables: [SyncTable("posts")])
        for number in 1...3 { device.gateway.refuse("users", key(number), reason: nil) }
        try device.execute("INSERT INTO posts (id) VALUES (?)", [key(9)])
        device.clock.advance(seconds: RetrySchedule.longest)
        try await device.sync()
        #expect(device.gateway.rows("posts").count == 1)
        // Nothing is due, so that a loop would rest, and nothing is stuck.
        #expect(try await device.engine.session.send().retryAt == nil)
        device.clock.advance(seconds: 3600)
        try await device.engine.session.refreshCounts()
        #expect(device.engine.status.lastError == nil)
        try device.reopen()
        try await device.sync()
        #expect(device.gateway.rows("users").count == 3)
        #expect(device.engine.status.pendingCount == 0)
    }

    @Test("edits of a table that is not synced are counted, and no sign-out loses them unasked")
    func signOut() async throws {
        let device = try Device()
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'a')", [key(1)])
        try await device.sync()
        try device.reopen(tables: [SyncTable("posts")])
        try device.execute("UPDATE users SET name = 'b'")
        try device.execute("UPDATE users SET age = 5")
        try await device.sync()
        #expect(device.engine.status.pendingCount == 1)
        await #expect(throws: SyncError.pendingChanges(1, rejected: 0)) {
            try await device.engine.signOut()
        }
        #expect(try device.lines("SELECT name, age FROM users") == ["b|5"])
        try await device.engine.signOut(force: true)
        #expect(try device.count("SELECT count(*) FROM users") == 0)
    }

    @Test(
        "edits made while a table was not synced are sent when it is again, and meet the server's by column",
        arguments: [true, false])
    func editedMeanwhile(isFolded: Bool) async throws {
        let device = try Device()
        for number in 1...4 {
            device.gateway.write("users", key(number), PullTests.user(number))
        }
        try await device.sync()
        try device.reopen(tables: [SyncTable("posts")])
        try device.execute("UPDATE users SET name = 'here' WHERE id = ?", [key(1)])
        try device.execute("UPDATE users SET name = 'here too' WHERE id = ?", [key(2)])
        try device.execute("DELETE FROM users WHERE id = ?", [key(3)])
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'new')", [key(5)])
        // By this exchange the touches are put aside; the edits after it are not.
        if isFolded { try await device.sync() }
        try device.execute("UPDATE users SET name = 'here again' WHERE id = ?", [key(2)])
        #expect(
            try device.lines("SELECT key, state FROM sync_row_status ORDER BY key")
                == [1, 2, 3, 4, 5].map { "\(key($0))|\($0 == 4 ? "synced" : "pending")" })
        device.gateway.write("users", key(2), #"{"id":"\#(key(2))","name":"n2","age":77}"#)
        try device.reopen()
        try await device.sync()
        #expect(
            try device.lines("SELECT id, name FROM users ORDER BY id")
                == ["\(key(1))|here", "\(key(2))|here again", "\(key(4))|a", "\(key(5))|new"])
        #expect(try device.count("SELECT age FROM users WHERE id = '\(key(2))'") == 77)
        #expect(device.gateway.rows("users").keys.sorted() == [1, 2, 4, 5].map { key($0) })
        #expect(device.gateway.rows("users")[key(2)]?.contains("here again") == true)
        #expect(device.gateway.rows("users")[key(2)]?.contains("77") == true)
        #expect(try device.count("SELECT count(*) FROM _sync_absent") == 0)
        #expect(device.engine.status.pendingCount == 0)
    }

    @Test("a table that is back after the server lost its end sends what was lost there")
    func newHistoryMeanwhile() async throws {
        let device = try Device()
        for number in 1...2 {
            try device.execute("INSERT INTO users (id, name) VALUES (?, 'a')", [key(number)])
            try await device.sync()
        }
        try device.execute("UPDATE users SET name = 'b' WHERE id = ?", [key(1)])
        try await device.sync()
        device.gateway.restore(toSequence: 1)
        try device.reopen(tables: [SyncTable("posts")])
        // Twice: what was noted of the table outlives a start.
        for _ in 1...2 {
            try await device.sync()
            try device.reopen(tables: [SyncTable("posts")])
        }
        try device.reopen()
        try await device.sync()
        #expect(try device.lines("SELECT name FROM users ORDER BY id") == ["b", "a"])
        #expect(device.gateway.rows("users").count == 2)
        #expect(device.gateway.rows("users")[key(1)]?.contains(#""b""#) == true)
    }

    @Test("edits of a table that was dropped wait no more, and hold up no sign-out")
    func dropped() async throws {
        let device = try Device()
        device.gateway.refuse("posts", key(1), reason: "bad_payload")
        try device.execute("INSERT INTO posts (id) VALUES (?)", [key(1)])
        try await device.sync()
        try device.reopen(tables: [SyncTable("users")])
        try device.execute("UPDATE posts SET title = 'x'")
        try await device.sync()
        #expect(device.engine.status.pendingCount == 1)
        try device.reopen(tables: [SyncTable("users")]) { db in
            try db.execute(sql: "DROP TABLE posts")
        }
        try await device.sync()
        #expect(device.engine.status.pendingCount == 0)
        #expect(device.engine.status.rejectedCount == 0)
        try await device.engine.signOut()
    }

    @Test("a table under a new name is a new table: nothing is noted twice, or for the old name")
    func renamed() async throws {
        let device = try Device()
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'a')", [key(1)])
        try await device.sync()
        let tables = [SyncTable("people"), SyncTable("posts")]
        try device.reopen(tables: tables) { db in
            try db.execute(sql: "ALTER TABLE users RENAME TO people")
        }
        try await device.sync()
        try device.execute("UPDATE people SET name = 'b'")
        try await device.sync()
        #expect(device.engine.status.pendingCount == 0)
        #expect(device.gateway.rows("people")[key(1)]?.contains(#""b""#) == true)
        #expect(device.gateway.rows("users")[key(1)]?.contains(#""a""#) == true)
        let before = try device.count("SELECT max(seq) FROM _sync_log")
        try device.execute("UPDATE people SET name = 'c'")
        #expect(try device.count("SELECT max(seq) FROM _sync_log") == before + 1)
    }

    @Test("a sign-out finds the rows of a table that was synced under another name")
    func renamedSignOut() async throws {
        let device = try Device()
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'a')", [key(1)])
        try await device.sync()
        try device.reopen(tables: [SyncTable("posts")]) { db in
            try db.execute(sql: "ALTER TABLE users RENAME TO people")
        }
        try await device.engine.signOut(force: true)
        #expect(try device.count("SELECT count(*) FROM people") == 0)
    }

    @Test("a table made anew and empty is filled again, and deletes nothing on the server")
    func madeAnewEmpty() async throws {
        let device = try Device()
        for number in 1...3 {
            try device.execute("INSERT INTO posts (id, title) VALUES (?, 'a')", [key(number)])
        }
        try await device.sync()
        try device.execute("UPDATE posts SET title = 'waits' WHERE id = ?", [key(1)])
        try device.execute("DELETE FROM posts WHERE id = ?", [key(2)])
        #expect(try device.queue() == ["UPDATE|1", "DELETE|1"])
        try device.reopen { db in
            try db.execute(
                sql: "DROP TABLE posts; CREATE TABLE posts (id TEXT PRIMARY KEY NOT NULL, title)")
        }
        try await device.sync()
        #expect(
            try device.lines("SELECT id, title FROM posts ORDER BY id")
                == ["\(key(1))|a", "\(key(3))|a"])
        #expect(device.gateway.rows("posts").keys.sorted() == [key(1), key(3)])
        #expect(device.engine.status.pendingCount == 0)
    }

    @Test("a table that is named twice is refused, in whatever spelling")
    func twice() throws {
        let error = SyncError.unusableTable("USERS", "it is listed twice")
        #expect(throws: error) { try Device(tables: [SyncTable("users"), SyncTable("USERS")]) }
    }

    @Test(
        "what the app has under the name of the library's view stays the app's",
        arguments: ["TABLE sync_row_status (id)", "VIEW Sync_Row_Status AS SELECT 1"])
    func viewName(made: String) throws {
        #expect(throws: SyncError.self) {
            try Device(schema: "\(postsAndUsers); CREATE \(made)")
        }
    }
}
