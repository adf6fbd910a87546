import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Waiting for what becomes of a write.
@Suite(.timeLimit(.minutes(1))) struct ConfirmationTests {
    /// A write of one user, by number.
    private static func write(
        _ device: Device, _ number: Int, name: String = "a"
    ) async throws -> SyncWrite<Void> {
        try await device.engine.write { db in
            try db.execute(
                sql: """
                    INSERT INTO users (id, name) VALUES (?, ?)
                    ON CONFLICT (id) DO UPDATE SET name = excluded.name
                    """, arguments: [key(number), name])
        }
    }

    private static func outcomes(_ changes: PendingChanges) async throws -> [ChangeOutcome] {
        try await changes.confirmations().map(\.outcome)
    }

    @Test("a write is confirmed when the server has its rows, with what the closure returned")
    func confirmed() async throws {
        let device = try Device()
        try await device.engine.start()
        let write = try await device.engine.write { db in
            try db.execute(sql: "INSERT INTO users (id) VALUES ('\(key(1))'), ('\(key(2))')")
            try db.execute(sql: "UPDATE users SET name = 'b' WHERE id = '\(key(1))'")
            return db.changesCount
        }
        #expect(write.changes.count == 2)
        #expect(try await write.confirmed() == 1)
        #expect(device.gateway.rows("users").count == 2)
        await device.engine.stop()
    }

    @Test(
        "a write that touches no synced row, or brings a row and takes it away, waits for nothing")
    func nothing() async throws {
        let device = try Device()
        try await device.engine.write { _ in }.confirmed()
        let write = try await Self.write(device, 1)
        let removal = try await device.engine.write { db in
            try db.execute(sql: "DELETE FROM users")
        }
        try await write.confirmed()
        try await removal.confirmed()
        #expect(device.gateway.requests.isEmpty)
    }

    @Test("a write that fails leaves nothing to wait for")
    func failed() async throws {
        struct Refused: Error {}
        let device = try Device()
        await #expect(throws: Refused.self) {
            try await device.engine.write { db in
                try db.execute(sql: "INSERT INTO users (id) VALUES ('\(key(1))')")
                throw Refused()
            }
        }
        #expect(try await device.engine.pendingChanges().count == 0)
    }

    @Test("rows the server refuses are told with the reason, the others are confirmed")
    func rejected() async throws {
        let device = try Device()
        device.gateway.refuse("users", key(1), reason: "bad_payload")
        let bad = try await Self.write(device, 1)
        let good = try await Self.write(device, 2)
        try await device.sync()
        try await good.confirmed()
        let row = try #require(try await device.engine.rejectedChanges.first)
        #expect(try await Self.outcomes(bad.changes) == [.rejected(row)])
        #expect(row.reason == "bad_payload" && row.retryAt == nil)
        let error = await #expect(throws: UnconfirmedChanges.self) { try await bad.confirmed() }
        #expect(error?.changes.map(\.key) == [key(1)])
        #expect(error?.description.contains("bad_payload") == true)
    }

    @Test("a refusal that a retry in the same run mends is none, and a later retry is waited for")
    func retried() async throws {
        let device = try Device()
        try await device.sync()
        let gateway = device.gateway
        gateway.refuse("users", key(1), reason: "fk_missing")
        gateway.next(.upload, .holdAnswer { gateway.refuse("users", key(1), reason: nil) })
        let write = try await Self.write(device, 1)
        _ = try await Self.write(device, 2)
        try await device.sync()
        try await write.confirmed()

        gateway.refuse("users", key(3), reason: "bad_payload")
        let third = try await Self.write(device, 3)
        try await device.sync()
        let row = try #require(try await device.engine.rejectedChanges.first)
        gateway.refuse("users", key(3), reason: nil)
        try await device.engine.retry(row)
        await #expect(throws: SyncError.stopped) { try await third.confirmed() }
        try await device.sync()
        try await third.confirmed()
    }

    @Test("a discarded change says so, and stays out of the server's rows")
    func discarded() async throws {
        let device = try Device()
        device.gateway.refuse("users", key(1), reason: "bad_payload")
        let write = try await Self.write(device, 1)
        try await device.sync()
        try await device.engine.discard(try #require(try await device.engine.rejectedChanges.first))
        #expect(try await Self.outcomes(write.changes) == [.discarded])
        let second = try await Self.write(device, 2)
        try await device.engine.signOut(force: true)
        #expect(try await Self.outcomes(second.changes) == [.discarded])
    }

    @Test("a write that loses a conflict is overruled, with the report; one made after it is not")
    func overruled() async throws {
        let device = try Device { $0.conflictPolicy = .serverWins }
        try await Self.write(device, 1).confirmedBySync(device)
        device.gateway.write("users", key(1), #"{"id":"\#(key(1))","name":"theirs","age":1}"#)
        let lost = try await Self.write(device, 1, name: "mine")
        try await device.sync()
        let later = try await Self.write(device, 1, name: "again")
        guard case .overruled(let report)? = try await Self.outcomes(lost.changes).first else {
            Issue.record("the write was not overruled")
            return
        }
        #expect(report.outcome == .tookServer && report.lost["name"] == "mine".databaseValue)
        try await device.sync()
        try await later.confirmed()
    }

    @Test("an edit made while the row is under way is another matter: the first is confirmed alone")
    func editedInFlight() async throws {
        let device = try Device()
        try await device.sync()
        let first = try await Self.write(device, 1)
        device.gateway.next(
            .upload, .holdAnswer(until: device.writing("UPDATE users SET name = 'b'")))
        device.gateway.next(.upload, .answerInstead(status: 503))
        // The first request brings the answer and the edit, the second fails.
        await #expect(throws: SyncError.busy(retryAfter: nil)) { try await device.sync() }
        #expect(device.engine.status.pendingCount == 1)
        try await first.confirmed()
        let rest = try await device.engine.pendingChanges()
        await #expect(throws: SyncError.stopped) { try await rest.confirmed() }
        try await device.sync()
        try await rest.confirmed()
    }

    @Test("an answer lost on the way is made up for by the feed, and the write is confirmed")
    func lostAnswer() async throws {
        let device = try Device()
        try await device.sync()
        device.gateway.next(.upload, .loseAnswer)
        let write = try await Self.write(device, 1)
        await #expect(throws: SyncError.self) { try await device.sync() }
        await #expect(throws: SyncError.stopped) { try await write.confirmed() }
        try await device.sync()
        try await write.confirmed()
        #expect(device.gateway.version("users", key(1)) == 1)
    }

    @Test("after a relaunch a new handle waits for all that is left")
    func relaunch() async throws {
        let device = try Device()
        try device.execute("INSERT INTO users (id) VALUES (?), (?)", [key(1), key(2)])
        try device.reopen()
        let changes = try await device.engine.pendingChanges()
        #expect(changes.count == 2)
        try await device.engine.start()
        try await changes.confirmed()
        await device.engine.stop()
    }

    @Test("who waits is told when sync stops, and a cancelled task waits no more")
    func ends() async throws {
        let device = try Device()
        device.engine.pause()
        try await device.engine.start()
        let write = try await Self.write(device, 1)
        let cancelled = Task { try await write.confirmed() }
        cancelled.cancel()
        await #expect(throws: CancellationError.self) { try await cancelled.value }
        let waiting = Task { try await write.confirmed() }
        await device.engine.stop()
        await #expect(throws: SyncError.stopped) { try await waiting.value }
    }

    @Test("many writes wait side by side, each for its own row")
    func many() async throws {
        let device = try Device { $0.uploadLimit = 7 }
        device.gateway.refuse("users", key(50), reason: "bad_payload")
        var writes: [SyncWrite<Void>] = []
        for number in 1...200 { writes.append(try await Self.write(device, number)) }
        try await device.engine.start()
        let failures = try await withThrowingTaskGroup(of: Int.self) { group in
            for write in writes {
                group.addTask {
                    do { try await write.confirmed() } catch is UnconfirmedChanges { return 1 }
                    return 0
                }
            }
            return try await group.reduce(0, +)
        }
        #expect(failures == 1)
        #expect(device.gateway.rows("users").count == 199)
        await device.engine.stop()
    }
}

extension SyncWrite {
    fileprivate func confirmedBySync(_ device: Device) async throws {
        try await device.sync()
        try await confirmed()
    }
}
