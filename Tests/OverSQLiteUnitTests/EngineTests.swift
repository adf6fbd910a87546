import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// The background loop, the status, users, and rows the server refuses.
@Suite(.timeLimit(.minutes(1))) struct EngineTests {
    /// Follows the status until it is as wished.
    static func status(_ engine: SyncEngine, until isReached: @Sendable (SyncStatus) -> Bool) async
    {
        for await status in engine.statusUpdates where isReached(status) { return }
    }

    @Test("the loop sends what the app writes and fetches what others write, without being asked")
    func loop() async throws {
        let gateway = InMemoryGateway()
        let one = try Device("one", gateway)
        let two = try Device("two", gateway)
        try await one.engine.start()
        try await two.engine.start()
        try await two.engine.waitForFirstSync()
        try one.execute("INSERT INTO users (id, name) VALUES (?, 'a')", [key(1)])
        let counts = ValueObservation.tracking {
            try Int.fetchOne($0, sql: "SELECT count(*) FROM users") ?? 0
        }
        for try await count in counts.values(in: two.database) where count == 1 { break }
        await Self.status(one.engine) { $0.pendingCount == 0 && $0.lastSynced != nil }
        await one.engine.stop()
        await two.engine.stop()
        #expect(one.engine.status.state == .stopped)
    }

    @Test("waiting for the first sync ends with an error where nothing syncs, or no longer")
    func nothingSyncs() async throws {
        let device = try Device()
        let engine = device.engine
        let forgotten = Task { try await engine.waitForFirstSync() }
        await device.clock.waitForSleeper()
        device.clock.advance(seconds: SyncEngine.startPatience)
        await #expect(throws: SyncError.stopped) { try await forgotten.value }

        device.gateway.next(.bootstrap, .answerInstead(status: 503))
        try await device.engine.start()
        await Self.status(device.engine) { $0.lastError != nil }
        let isOver = LockedValue(false)
        let waiting = Task {
            defer { isOver.change { $0 = true } }
            try await engine.waitForFirstSync()
        }
        await engine.stop()
        // It may have begun to wait only now.
        while !isOver.value {
            device.clock.advance(seconds: SyncEngine.startPatience)
            await Task.yield()
        }
        await #expect(throws: SyncError.stopped) { try await waiting.value }
    }

    @Test(
        "there is one loop: another is refused or does nothing, and a start waits for the last one's end"
    )
    func oneLoop() async throws {
        let device = try Device()
        let engine = device.engine
        try await engine.start()
        await #expect(throws: SyncError.alreadyRunning) { try await engine.run() }
        async let ending: Void = engine.stop()
        try await engine.start()
        await ending
        await engine.stop()
        let run = Task { try await engine.run() }
        await Self.status(engine) { $0.lastSynced != nil }
        try await engine.start()
        await engine.stop()
        run.cancel()
        try await run.value
        try await engine.start()
        await Self.status(engine) { $0.state == .idle }
        await engine.stop()
        #expect(engine.status.state == .stopped)
    }

    @Test("nobody waits for the first sync within a pause")
    func firstSyncPaused() async throws {
        let device = try Device()
        try await device.engine.withSyncPaused {
            _ = await #expect(throws: SyncError.paused) {
                try await device.engine.waitForFirstSync()
            }
            return ()
        }
    }

    @Test(
        "a token that no header can carry is no token, and appears in no error",
        arguments: ["secret\nsecret", "secret\u{0}", "sécret", " \n"])
    func unusableToken(token: String) async throws {
        let device = try Device()
        let engine = try device.engine(credentials: { token })
        do {
            try await engine.syncChanges()
            Issue.record("it was used")
        } catch let error as SyncError {
            guard case .noCredentials = error else { throw error }
            #expect(!"\(error)".contains("cret"))
        }
    }

    @Test("white space around a token is not part of it")
    func tokenWithNewline() async throws {
        let device = try Device()
        let engine = try device.engine(
            credentials: { " " + InMemoryGateway.token(device: "one") + "\n" })
        try await engine.syncChanges()
        #expect(engine.status.lastError == nil)
    }

    @Test("a database that the app has closed is told as such, and not tried again")
    func closedDatabase() async throws {
        let device = try Device()
        try await device.sync()
        try device.database.close()
        await #expect(throws: SyncError.databaseClosed) { try await device.sync() }
        #expect(!SyncError.databaseClosed.retriesByItself)
    }

    @Test("a call by hand while sync is paused is refused, and shows as no failure")
    func pausedByHand() async throws {
        let device = try Device()
        device.engine.pause()
        await #expect(throws: SyncError.paused) { try await device.sync() }
        #expect(device.engine.status.lastError == nil)
    }

    @Test("H12: an idle loop asks nothing while the gateway holds its request")
    func idle() async throws {
        let device = try Device()
        try await device.engine.start()
        await Self.status(device.engine) { $0.state == .idle && $0.lastSynced != nil }
        device.clock.advance(seconds: 3600)
        device.gateway.write("users", key(1), PullTests.user(1))
        let counts = ValueObservation.tracking {
            try Int.fetchOne($0, sql: "SELECT count(*) FROM users") ?? 0
        }
        for try await count in counts.values(in: device.database) where count == 1 { break }
        await device.engine.stop()
        // Bootstrap, the server's tables, first page, the held request, which brings the row, the
        // tables again, for an hour has passed, and at most one more held request.
        #expect(device.gateway.requests.count <= 6)
    }

    @Test(
        "A new history that the held request is told of does not end the loop",
        .timeLimit(.minutes(1)),
        arguments: [(409, "epoch_changed"), (409, "checkpoint_ahead"), (410, "history_pruned")])
    func newHistoryWhileIdle(status: Int, code: String) async throws {
        let device = try Device()
        device.gateway.next(.download, .holdAnswer(until: {}))
        device.gateway.next(
            .download, .answerInstead(status: status, #"{"error":"\#(code)","message":"x"}"#))
        try await device.engine.start()
        await Self.status(device.engine) { $0.lastSynced != nil }
        let counts = ValueObservation.tracking {
            try Int.fetchOne($0, sql: "SELECT count(*) FROM users") ?? 0
        }
        device.gateway.write("users", key(1), PullTests.user(1))
        for try await count in counts.values(in: device.database) where count == 1 { break }
        await device.engine.stop()
        #expect(device.gateway.unusedPlans.isEmpty)
    }

    @Test("C13: after a failure the loop waits for its time, then goes on as if nothing had been")
    func backoff() async throws {
        let device = try Device()
        device.gateway.next(.download, .loseRequest)
        device.gateway.next(
            .download, .answerInstead(status: 503, headers: ["retry-after": "40"]))
        try await device.engine.start()
        await device.clock.waitForSleeper()
        #expect(
            device.gateway.requests.map(\.path)
                == ["/sync/bootstrap", "/sync/capabilities", "/sync/download"])
        #expect(
            device.engine.status.state == .waiting(until: device.clock.now.addingTimeInterval(1)))
        device.clock.advance(seconds: 1)
        await Self.status(device.engine) { $0.lastError == .busy(retryAfter: 40) }
        await device.clock.waitForSleeper()
        #expect(
            device.engine.status.state == .waiting(until: device.clock.now.addingTimeInterval(42)))
        device.clock.advance(seconds: 42)
        await Self.status(device.engine) { $0.lastError == nil && $0.state == .idle }
        await device.engine.stop()
    }

    @Test("C13: a paused loop asks nothing and goes on when resumed")
    func pause() async throws {
        let device = try Device()
        device.engine.pause()
        try await device.engine.start()
        await Self.status(device.engine) { $0.state == .paused }
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(1)])
        await #expect(throws: SyncError.paused) { try await device.sync() }
        #expect(device.gateway.requests.isEmpty)
        device.engine.resume()
        await Self.status(device.engine) { $0.pendingCount == 0 && $0.lastSynced != nil }
        #expect(device.gateway.rows("users").count == 1)
        await device.engine.stop()
    }

    @Test("with sync paused an import runs undisturbed and is sent afterwards")
    func withSyncPaused() async throws {
        let device = try Device()
        try await device.engine.withSyncPaused { [database = device.database] in
            try await database.write {
                try $0.execute(sql: "INSERT INTO users (id) VALUES ('\(key(1))')")
            }
        }
        try await device.sync()
        #expect(device.gateway.rows("users").count == 1)
    }

    @Test("refused credentials are asked for once more, and then the loop waits for the app")
    func unauthorized() async throws {
        let device = try Device()
        let refusal = TransportResponse(status: 401, body: Array("Invalid token".utf8))
        device.gateway.next(.download, .answerInstead(refusal))
        try await device.sync()
        device.gateway.next(.download, .answerInstead(refusal))
        device.gateway.next(.download, .answerInstead(refusal))
        try await device.engine.start()
        await Self.status(device.engine) { $0.state == .blocked }
        #expect(device.engine.status.lastError == .unauthorized("Invalid token"))
        device.engine.retryNow()
        await Self.status(device.engine) { $0.state == .idle && $0.lastError == nil }
        await device.engine.stop()
    }

    // MARK: Refused rows

    @Test("C14: rows the server keeps refusing never starve the rest")
    func starvation() async throws {
        let device = try Device { $0.uploadLimit = 5 }
        try await device.sync()
        for number in 1...20 {
            try device.execute("INSERT INTO users (id) VALUES (?)", [key(number)])
            device.gateway.refuse("users", key(number), reason: "fk_missing")
        }
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(21)])
        try await device.sync()
        #expect(Array(device.gateway.rows("users").keys) == [key(21)])
        #expect(device.engine.status.rejectedCount == 20)
        for number in 1...20 { device.gateway.refuse("users", key(number), reason: nil) }
        try await device.sync()
        #expect(device.gateway.rows("users").count == 1)
        device.clock.advance(seconds: RetrySchedule.longest)
        try await device.sync()
        #expect(device.gateway.rows("users").count == 21)
    }

    @Test("a row refused for a cause that others remove is sent again in the same run")
    func secondChance() async throws {
        let device = try Device()
        try await device.sync()
        let gateway = device.gateway
        gateway.refuse("users", key(1), reason: "fk_missing")
        try device.execute("INSERT INTO users (id) VALUES (?), (?)", [key(1), key(2)])
        gateway.next(.upload, .holdAnswer { gateway.refuse("users", key(1), reason: nil) })
        try await device.sync()
        #expect(gateway.rows("users").count == 2)
        #expect(gateway.uploads.count == 2)
    }

    @Test(
        "rejected rows are listed and reported, can be retried, and an edit sends them again",
        arguments: [
            "bad_payload", "forbidden_table", "key_taken", "materialize_error", "internal_error",
        ])
    func rejected(reason: String) async throws {
        let device = try Device()
        let events = device.engine.events
        device.gateway.refuse("users", key(1), reason: reason)
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(1)])
        try await device.sync()
        let row = try #require(try await device.engine.rejectedChanges.first)
        #expect(row.reason == reason)
        #expect(device.gateway.uploads.count == 1)
        device.gateway.refuse("users", key(1), reason: nil)
        try await device.sync()
        #expect(device.gateway.uploads.count == 1)
        try await device.engine.retry(row)
        try await device.sync()
        #expect(device.gateway.rows("users").count == 1)
        #expect(device.engine.status.rejectedCount == 0)
        #expect(await firstEvent(events, unless: device) == .rejected(row))
    }

    @Test("a refusal is told once, not with each retry; one that the app asked for is told again")
    func refusalIsToldOnce() async throws {
        let device = try Device()
        let events = device.engine.events
        device.gateway.refuse("users", key(1), reason: "fk_missing")
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(1)])
        try await device.sync()
        for _ in 1...3 {
            device.clock.advance(seconds: RetrySchedule.longest)
            try await device.sync()
        }
        #expect(device.gateway.uploads.count == 4)
        let row = try #require(try await device.engine.rejectedChanges.first)
        try await device.engine.retry(row)
        try await device.sync()
        device.gateway.refuse("users", key(1), reason: "bad_payload")
        device.clock.advance(seconds: RetrySchedule.longest)
        try await device.sync()
        device.engine.session.board.finish()
        var reasons: [String] = []
        for await case .rejected(let change) in events { reasons.append(change.reason) }
        #expect(reasons == ["fk_missing", "fk_missing", "bad_payload"])
    }

    @Test("H17: rows that wait without getting through show as an error")
    func watchdog() async throws {
        let device = try Device { $0.watchdog = 60 }
        try await device.sync()
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(1)])
        try await device.engine.session.refreshCounts()
        device.clock.advance(seconds: 61)
        try await device.engine.session.refreshCounts()
        #expect(device.engine.status.lastError == .noProgress(seconds: 61))
        try await device.sync()
        #expect(device.engine.status.lastError == nil)
    }

    // MARK: Users

    @Test("H7: what was written before anybody signed in goes to the first user")
    func anonymousData() async throws {
        let device = try Device()
        device.gateway.write("users", key(2), PullTests.user(2))
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(1)])
        try await device.sync()
        #expect(device.gateway.rows("users").count == 2)
        #expect(try device.count("SELECT count(*) FROM users") == 2)
    }

    @Test(
        "another user's token is refused until the first has signed out, and then sees nothing of theirs"
    )
    func otherUser() async throws {
        let device = try Device()
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(1)])
        try await device.sync()
        try device.reopen(user: "other")
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(2)])
        let refusal = SyncError.differentUser(owner: "user", other: "other")
        await #expect(throws: refusal) { try await device.sync() }
        await #expect(throws: SyncError.pendingChanges(1, rejected: 0)) {
            try await device.engine.signOut()
        }
        #expect(try device.count("SELECT count(*) FROM users") == 2)
        try await device.engine.signOut(force: true)
        #expect(try device.count("SELECT count(*) FROM users") == 0)
        try await device.sync()
        #expect(device.gateway.rows("users", user: "other").isEmpty)
        #expect(device.gateway.rows("users").count == 1)
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(3)])
        try await device.sync()
        #expect(device.gateway.rows("users", user: "other").count == 1)
    }
}
