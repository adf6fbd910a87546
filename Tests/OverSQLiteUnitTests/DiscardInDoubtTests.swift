import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Discarded changes that the server may have received all the same: device and server must agree
/// in the end.
@Suite(.timeLimit(.minutes(1))) struct DiscardInDoubtTests {
    private static let edits = [
        "UPDATE users SET name = 'x'", "DELETE FROM users",
        "INSERT INTO users (id, name, age) VALUES ('\(key(2))', 'x', 1)",
    ]

    /// A device whose edit of a row, or new row, was refused, and would be accepted now.
    private func device(_ edit: String) async throws -> (Device, RejectedChange) {
        let device = try Device()
        try device.execute("INSERT INTO users (id, name, age) VALUES (?, 'Ada', 36)", [key(1)])
        try await device.sync()
        for number in 1...2 { device.gateway.refuse("users", key(number), reason: "bad_payload") }
        try device.execute(edit)
        try await device.sync()
        for number in 1...2 { device.gateway.refuse("users", key(number), reason: nil) }
        return (device, try #require(try await device.engine.rejectedChanges.first))
    }

    private func expectBefore(_ device: Device) throws {
        #expect(try device.lines("SELECT id, name, age FROM users") == ["\(key(1))|Ada|36"])
        #expect(
            device.gateway.rows("users")
                == [key(1): #"{"id":"\#(key(1))","name":"Ada","age":36}"#])
        #expect(try device.queue().isEmpty)
    }

    //  app:     retry ─────────── discard ───────────
    //  engine:        send(edit) ───────── accepted ──
    @Test("a change given up while it is sent again is undone on the server", arguments: edits)
    func inFlight(edit: String) async throws {
        let (device, change) = try await device(edit)
        try await device.engine.retry(change)
        let engine = device.engine
        device.gateway.next(.upload, .holdAnswer { try await engine.discard(change) })
        try await device.sync()
        try expectBefore(device)
    }

    @Test("a change given up after its answer was lost is undone on the server", arguments: edits)
    func lostAnswer(edit: String) async throws {
        let (device, change) = try await device(edit)
        try await device.engine.retry(change)
        device.gateway.next(.upload, .loseAnswer)
        await #expect(throws: SyncError.self) { try await device.sync() }
        try await device.engine.discard(change)
        try await device.sync()
        try expectBefore(device)
    }

    @Test("an edit whose answer was lost is undone with a later one that was refused and given up")
    func lostEarlier() async throws {
        let device = try Device()
        try device.execute("INSERT INTO users (id, name, age) VALUES (?, 'Ada', 36)", [key(1)])
        try await device.sync()
        try device.execute("UPDATE users SET name = 'x'")
        device.gateway.next(.upload, .loseAnswer)
        await #expect(throws: SyncError.self) { try await device.sync() }
        // JSON has no form for it, so that it is refused without the server.
        try device.execute("UPDATE users SET age = 9e999")
        try await device.engine.sendChanges()
        let change = try #require(try await device.engine.rejectedChanges.first)
        #expect(change.reason == "unsendable_value")
        try await device.engine.discard(change)
        try await device.sync()
        try expectBefore(device)
    }

    @Test("a change refused twice with other content is given up without another request")
    func refusedTwice() async throws {
        let (device, _) = try await device("UPDATE users SET name = 'x'")
        device.gateway.refuse("users", key(1), reason: "bad_payload")
        try device.execute("UPDATE users SET name = 'y'")
        try await device.sync()
        let change = try #require(try await device.engine.rejectedChanges.first)
        try await device.engine.discard(change)
        try expectBefore(device)
        // A second time, and a row nobody knows, mean nothing.
        try await device.engine.discard(change)
        try await device.engine.retry(change)
        try expectBefore(device)
    }

    @Test("what goes with a row that is given up is reported, and not taken for accepted")
    func children() async throws {
        let device = try Device()
        try await device.sync()
        device.gateway.refuse("users", key(1), reason: "bad_payload")
        device.gateway.refuse("posts", key(2), reason: "fk_missing")
        let write = try await device.engine.write { db in
            try db.execute(sql: "INSERT INTO users (id) VALUES (?)", arguments: [key(1)])
            try db.execute(
                sql: "INSERT INTO posts (id, user_id, title) VALUES (?, ?, 'a')",
                arguments: [key(2), key(1)])
        }
        try await device.sync()
        let change = try await device.engine.rejectedChanges.first { $0.table == "users" }
        try await device.engine.discard(try #require(change))
        let outcomes = try await write.changes.confirmations().map(\.outcome)
        #expect(outcomes.first == .discarded)
        guard case .overruled(let report) = outcomes.last else {
            Issue.record("\(outcomes)")
            return
        }
        #expect(report.outcome == .removedWithParent && report.lost["title"] == "a".databaseValue)
    }
}
