import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Held rows are reported: which, why, and what would help.
@Suite struct HeldRowTests {
    @Test("a child without its parent is listed with the row that is missing, until that comes")
    func missingParent() async throws {
        let device = try Device()
        device.gateway.write("posts", key(2), PullTests.post(2, of: 1))
        try await device.sync()
        let held = try await device.engine.heldRows
        #expect(held.map(\.table) == ["posts"])
        #expect(held.map(\.key) == [key(2)])
        #expect(held.first?.cause == .missingParent)
        #expect(held.first?.missing == HeldRow.Parent(table: "users", key: key(1)))
        #expect(held.first?.advice.contains(key(1)) == true)
        #expect(!device.engine.status.isSynced)
        #expect(device.engine.status.lastSynced == nil)
        device.gateway.write("users", key(1), PullTests.user(1))
        try await device.sync()
        #expect(try await device.engine.heldRows.isEmpty)
        #expect(device.engine.status.isSynced)
        #expect(device.engine.status.lastSynced != nil)
    }

    @Test("a row that a constraint refuses is listed with SQLite's words")
    func constraint() async throws {
        let device = try Device(
            schema: "CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT UNIQUE, age INT)",
            tables: [SyncTable("users")])
        device.gateway.write("users", key(1), PullTests.user(1, "same"))
        device.gateway.write("users", key(2), PullTests.user(2, "same"))
        try await device.sync()
        let held = try #require(try await device.engine.heldRows.first)
        #expect(held.cause == .constraint && held.key == key(2))
        #expect(held.reason.contains("users.name"))
    }

    @Test("a newer version that cannot be shown makes the row's state held, not synced")
    func newerVersion() async throws {
        let device = try Device(
            schema: "CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT UNIQUE, age INT)",
            tables: [SyncTable("users")])
        device.gateway.write("users", key(1), PullTests.user(1, "a"))
        device.gateway.write("users", key(2), PullTests.user(2, "b"))
        try await device.sync()
        device.gateway.write("users", key(2), PullTests.user(2, "a"))
        try await device.sync()
        let query = "SELECT state, reason FROM sync_row_status ORDER BY key"
        #expect(try device.lines(query) == ["synced|-", "held|constraint"])
        device.gateway.write("users", key(1), PullTests.user(1, "c"))
        try await device.sync()
        #expect(try device.lines(query) == ["synced|-", "synced|-"])
    }

    @Test("a deleted row that others refer to, and a value that does not fit, are listed as such")
    func otherCauses() async throws {
        let device = try Device(
            schema: """
                CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, photo BLOB);
                CREATE TABLE posts (id TEXT PRIMARY KEY NOT NULL, user_id TEXT REFERENCES users);
                """)
        device.gateway.write("users", key(1), #"{"id":"\#(key(1))"}"#)
        try await device.sync()
        try device.execute("INSERT INTO posts VALUES (?, ?)", [key(2), key(1)])
        device.gateway.refuse("posts", key(2), reason: "bad_payload")
        device.gateway.write("users", key(1), nil)
        device.gateway.write("users", key(3), #"{"id":"\#(key(3))","photo":"no bytes"}"#)
        try await device.engine.fetchChanges()
        let held = try await device.engine.heldRows
        #expect(held.map(\.cause) == [.stillReferredTo, .unreadable])
        #expect(held.map(\.isDeletion) == [true, false])
        #expect(held.allSatisfy { !$0.advice.isEmpty && !$0.reason.isEmpty })
    }

    @Test("rows that an older version held have their cause, too")
    func olderVersion() async throws {
        let device = try Device()
        device.gateway.write("posts", key(2), PullTests.post(2, of: 1))
        try await device.sync()
        try device.execute(
            """
            DROP VIEW sync_row_status; ALTER TABLE _sync_held DROP COLUMN cause;
            ALTER TABLE _sync_state DROP COLUMN file; UPDATE _sync_state SET format = 4;
            """)
        try device.reopen()
        #expect(try await device.engine.heldRows.map(\.cause) == [.missingParent])
        #expect(try device.count("SELECT format FROM _sync_state") == MetadataTables.format)
    }

    @Test("500 children of a refused parent are one event, and all of them are listed")
    func oneEvent() async throws {
        let device = try Device(
            "one",
            InMemoryGateway(tables: [
                .init("users"), .init("posts", references: ["user_id": "users"]),
            ]))
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'too long')", [key(1)])
        try device.execute(
            """
            INSERT INTO posts (id, user_id)
            WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 500)
            SELECT printf('bbbbbbbb-0000-4000-8000-%012d', n), ? FROM c
            """, [key(1)])
        for _ in 1...4 { device.gateway.refuse("users", key(1), reason: "bad_payload") }
        let events = device.engine.events
        try await device.sync()
        #expect(try await device.engine.rejectedChanges.count == 501)
        device.engine.session.board.finish()
        var told: [RejectedChange] = []
        for await case .rejected(let change) in events { told.append(change) }
        #expect(told.map(\.key) == [key(1)])
    }
}
