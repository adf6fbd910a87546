import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Rows that the app's resolver has not settled, or that this database refuses, and what else happens to them.
@Suite(.timeLimit(.minutes(1))) struct UnsettledRowTests {
    private struct Undecided: Error {}

    /// A resolver that fails until it is switched over.
    private struct Resolver {
        let resolution = LockedValue<ConflictResolution?>(nil)

        var policy: ConflictPolicy {
            .resolver { [resolution] _ in
                guard let resolution = resolution.value else { throw Undecided() }
                return resolution
            }
        }
    }

    private static let names = "SELECT name FROM users ORDER BY id"

    private static func user(_ number: Int, _ name: String) -> String {
        #"{"id":"\#(key(number))","name":"\#(name)","age":null}"#
    }

    /// A device whose row had the same version in the history that the server has lost, and an edit on top.
    private func twoHistories(_ resolver: Resolver) async throws -> Device {
        let device = try Device { $0.conflictPolicy = resolver.policy }
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'a')", [key(1)])
        try await device.sync()
        try device.execute("UPDATE users SET name = 'here'")
        try await device.sync()
        device.gateway.restore(toSequence: 1)
        device.gateway.write("users", key(1), Self.user(1, "there"))
        try device.execute("UPDATE users SET name = 'mine'")
        try await device.sync()
        #expect(try device.lines(Self.names) == ["mine"])
        return device
    }

    @Test("an edit unsettled where two histories differ gives way to the new one's row")
    func discardAfterNewHistory() async throws {
        let device = try await twoHistories(Resolver())
        let change = try #require(try await device.engine.rejectedChanges.first)
        try await device.engine.discard(change)
        try await device.sync()
        #expect(try device.lines(Self.names) == ["there"])
        #expect(device.gateway.rows("users")[key(1)] == Self.user(1, "there"))
        #expect(device.engine.status.heldCount == 0)
    }

    @Test("an edit unsettled where two histories differ meets the new one's row when it is retried")
    func retryAfterNewHistory() async throws {
        let resolver = Resolver()
        let device = try await twoHistories(resolver)
        let change = try #require(try await device.engine.rejectedChanges.first)
        resolver.resolution.change { $0 = .server }
        try await device.engine.retry(change)
        try await device.sync()
        #expect(try device.lines(Self.names) == ["there"])
        #expect(device.gateway.rows("users")[key(1)] == Self.user(1, "there"))
        #expect(try device.queue().isEmpty)
    }

    @Test(
        "a row of another history whose parent is missing is held, and written once that has come")
    func missingParentAfterNewHistory() async throws {
        let device = try Device()
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(1)])
        try device.execute("INSERT INTO posts (id, user_id) VALUES (?, ?)", [key(9), key(1)])
        try await device.sync()
        try device.execute("UPDATE posts SET title = 'here'")
        try await device.sync()
        device.gateway.restore(toSequence: 2)
        device.gateway.write("posts", key(9), #"{"id":"\#(key(9))","user_id":"\#(key(7))"}"#)
        try await device.sync()
        #expect(device.engine.status.heldCount == 1)
        device.gateway.write("users", key(7), Self.user(7, "late"))
        try await device.sync()
        #expect(device.engine.status.heldCount == 0)
        #expect(try device.lines("SELECT user_id FROM posts") == [key(7)])
    }

    @Test("a row of another history that a constraint refuses is held until it can be written")
    func refusedAfterNewHistory() async throws {
        let device = try Device(
            schema: "CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT UNIQUE, age)",
            tables: [SyncTable("users")])
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'a')", [key(1)])
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'taken')", [key(2)])
        try await device.sync()
        try device.execute("UPDATE users SET name = 'here' WHERE id = ?", [key(1)])
        try await device.sync()
        device.gateway.restore(toSequence: 2)
        device.gateway.write("users", key(1), Self.user(1, "taken"))
        try await device.sync()
        #expect(device.engine.status.heldCount == 1)
        device.gateway.write("users", key(2), Self.user(2, "free"))
        try await device.sync()
        #expect(try device.lines(Self.names) == ["taken", "free"])
        #expect(device.engine.status.heldCount == 0)
    }

    @Test("a row made here whose key the server has can be given up without its children")
    func discardKeepsChildren() async throws {
        let device = try Device { $0.conflictPolicy = Resolver().policy }
        try await device.sync()
        device.gateway.write("users", key(1), Self.user(1, "theirs"))
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'mine')", [key(1)])
        try device.execute("INSERT INTO posts (id, user_id) VALUES (?, ?)", [key(9), key(1)])
        try await device.sync()
        try device.execute("INSERT INTO posts (id, user_id) VALUES (?, ?)", [key(8), key(1)])
        let change = try #require(try await device.engine.rejectedChanges.first)
        try await device.engine.discard(change)
        try await device.sync()
        #expect(try device.lines(Self.names) == ["theirs"])
        #expect(try device.count("SELECT count(*) FROM posts") == 2)
        #expect(device.gateway.rows("posts").count == 2)
        #expect(try await device.engine.settledConflicts.isEmpty)
    }

    @Test("a row that the resolver deletes is reported as that, and as nothing else")
    func resolvedByDeletion() async throws {
        let resolver = Resolver()
        resolver.resolution.change { $0 = .delete }
        let device = try await ConflictTests.device(
            resolver.policy, local: ConflictTests.rename, server: ConflictTests.row("server", 2))
        let write = device.engine.events
        try await device.sync()
        #expect(device.gateway.rows("users").isEmpty)
        #expect(try device.count("SELECT count(*) FROM users") == 0)
        #expect(try await device.engine.settledConflicts.map(\.outcome) == [.merged])
        guard case .conflict(let report)? = await write.first(where: { _ in true }) else {
            Issue.record("no conflict was reported")
            return
        }
        #expect(report.outcome == .merged)
    }

    @Test("a deletion that the resolver decided and the server refuses can be given up")
    func discardOfResolvedDeletion() async throws {
        let resolver = Resolver()
        resolver.resolution.change { $0 = .delete }
        let device = try await ConflictTests.device(
            resolver.policy, local: ConflictTests.rename, server: ConflictTests.row("server", 2))
        device.gateway.refuse("users", key(1), reason: "bad_payload")
        try await device.sync()
        let change = try #require(try await device.engine.rejectedChanges.first)
        #expect(change.reason == "bad_payload")
        try await device.engine.discard(change)
        #expect(try device.lines("SELECT name, age FROM users") == ["server|2"])
        #expect(try device.queue().isEmpty)
    }

    @Test(
        "a refused edit of a row that was deleted meanwhile, and forgotten, takes the row with it")
    func discardAfterHistoryPruned() async throws {
        let device = try Device()
        for number in 1...2 { device.gateway.write("users", key(number), Self.user(number, "a")) }
        try await device.sync()
        device.gateway.refuse("users", key(1), reason: "bad_payload")
        try device.execute("UPDATE users SET name = 'x' WHERE id = ?", [key(1)])
        try await device.sync()
        device.gateway.write("users", key(1), nil)
        device.gateway.write("users", key(2), Self.user(2, "b"))
        device.gateway.compact()
        try await device.sync()
        #expect(try device.lines(Self.names) == ["x", "b"])
        let change = try #require(try await device.engine.rejectedChanges.first)
        try await device.engine.discard(change)
        #expect(try device.lines(Self.names) == ["b"])
        try await device.sync()
        #expect(device.gateway.rows("users").count == 1)
    }

    @Test("that the resolver has failed is told once", arguments: [true, false])
    func told(sendsFirst: Bool) async throws {
        let device = try await ConflictTests.device(
            Resolver().policy, local: ConflictTests.rename, server: ConflictTests.row("server", 2))
        let events = device.engine.events
        if sendsFirst { try await device.engine.sendChanges() }
        for _ in 1...2 {
            try await device.sync()
            device.clock.advance(seconds: RetrySchedule.longest)
        }
        // What follows in the stream is the end of it.
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(2)])
        device.gateway.refuse("users", key(2), reason: "bad_payload")
        try await device.sync()
        var told: [String] = []
        for await event in events {
            guard case .rejected(let change) = event else { continue }
            told.append(change.reason)
            if change.key == key(2) { break }
        }
        #expect(told == ["resolver_failed", "bad_payload"])
    }
}
