import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Deletions of rows whose children go, too: the server refuses them while it has the children.
@Suite struct ParentDeleteTests {
    private static let tables: [InMemoryGateway.Table] = [
        .init("users"), .init("posts", references: ["user_id": "users"]),
        .init("comments", references: ["post_id": "posts"]),
    ]
    private static let schema =
        postsAndUsers
            + """
            CREATE TABLE comments (
                id TEXT PRIMARY KEY NOT NULL, post_id TEXT REFERENCES posts (id) ON DELETE CASCADE);
            """

    private static func device(limit: Int, index: Bool = false) throws -> Device {
        try Device(
            "one", InMemoryGateway(tables: tables),
            schema: schema + (index ? "CREATE UNIQUE INDEX ages ON users (age);" : ""),
            tables: ["users", "posts", "comments"].map { SyncTable($0) },
            adjust: { $0.uploadLimit = limit })
    }

    /// Users 1 to 9; post 10 of user 1, with comment 20; and so on up to user 9.
    private static func fill(_ device: Device) async throws {
        for number in 1...9 {
            try device.execute("INSERT INTO users (id) VALUES (?)", [key(number)])
            try device.execute(
                "INSERT INTO posts (id, user_id) VALUES (?, ?)", [key(number + 10), key(number)])
            try device.execute(
                "INSERT INTO comments VALUES (?, ?)", [key(number + 20), key(number + 10)])
        }
        try await device.sync()
    }

    /// The reasons of all rejections that were reported.
    private static func rejections(
        _ events: AsyncStream<SyncEvent>, _ device: Device
    ) async -> [String] {
        device.engine.session.board.finish()
        var reasons: [String] = []
        for await case .rejected(let change) in events {
            reasons.append("\(change.table) \(change.message ?? change.reason)")
        }
        return reasons
    }

    @Test(
        "a deletion goes with those of its children or after them, wherever it stands in the queue",
        arguments: 1...7, [false, true])
    func place(limit: Int, hasIndex: Bool) async throws {
        let device = try Self.device(limit: limit, index: hasIndex)
        try await Self.fill(device)
        let events = device.engine.events
        // All parents have a place before all of their children.
        try device.execute("UPDATE users SET name = 'edited'")
        try device.execute("UPDATE posts SET title = 'edited'")
        for number in 30...40 {
            try device.execute("INSERT INTO users (id) VALUES (?)", [key(number)])
        }
        try device.execute("DELETE FROM users WHERE id <= ?", [key(5)])
        try await device.sync()
        #expect(await Self.rejections(events, device) == [])
        #expect(device.gateway.rows("users").count == 4 + 11)
        #expect(device.gateway.rows("posts").count == 4)
        #expect(device.gateway.rows("comments").count == 4)
        #expect(try device.queue().isEmpty)
    }

    @Test("a deletion whose child's answer was lost is sent again with it, and not rejected")
    func lostAnswer() async throws {
        let device = try Self.device(limit: 100)
        try await Self.fill(device)
        let events = device.engine.events
        try device.execute(
            "INSERT INTO posts (id, user_id) VALUES (?, ?)", [key(50), key(1)])
        device.gateway.next(.upload, .loseAnswer)
        try? await device.engine.syncChanges()
        let before = device.gateway.uploads.count
        try device.execute("DELETE FROM users WHERE id = ?", [key(1)])
        try await device.sync()
        #expect(await Self.rejections(events, device) == [])
        #expect(device.gateway.rows("users").count == 8)
        #expect(device.gateway.rows("posts").count == 8)
        #expect(device.gateway.uploads.count == before + 2)
    }

    @Test("a deletion that another device's child forbids is rejected, however much the app edits")
    func anothersChild() async throws {
        let device = try Self.device(limit: 3)
        try await Self.fill(device)
        let events = device.engine.events
        try device.execute("DELETE FROM users WHERE id = ?", [key(1)])
        device.gateway.write("posts", key(60), PullTests.post(60, of: 1))
        // While the deletion is under way the app writes another post, again and again.
        for number in 70...74 {
            device.gateway.next(
                .upload,
                .holdAnswer(
                    until: device.writing(
                        "INSERT INTO posts (id, user_id) VALUES ('\(key(number))', '\(key(2))')")))
        }
        try await device.sync()
        let rejected = try await device.engine.rejectedChanges
        #expect(rejected.map(\.key) == [key(1)])
        #expect(await Self.rejections(events, device).count == 1)
        #expect(device.gateway.rows("posts").count == 8 + 1 + 5)
    }

    @Test("a deletion does not wait for a child that is rejected itself")
    func rejectedChild() async throws {
        let device = try Self.device(limit: 2)
        try await Self.fill(device)
        let events = device.engine.events
        try device.execute("UPDATE users SET name = 'edited'")
        device.gateway.refuse("comments", key(21), reason: "materialize_error")
        try device.execute("DELETE FROM users WHERE id = ?", [key(1)])
        try await device.sync()
        let tables = try await device.engine.rejectedChanges.map(\.table)
        #expect(tables.sorted() == ["comments", "posts", "users"])
        #expect(await Self.rejections(events, device).count == 3)
        device.gateway.refuse("comments", key(21), reason: nil)
        device.clock.advance(seconds: RetrySchedule.longest)
        try await device.sync()
        #expect(device.gateway.rows("users").count == 8)
        #expect(try device.queue().isEmpty)
    }
}
