import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// What an app may do while it has paused sync for an import.
@Suite(.timeLimit(.minutes(1))) struct PauseTests {
    @Test("an import may pause again, and whoever is signed in may be changed in it")
    func nested() async throws {
        let device = try Device()
        let engine = device.engine
        try await engine.withSyncPaused {
            try await engine.withSyncPaused { try await engine.signIn(as: "user") }
            await #expect(throws: SyncError.paused) { try await engine.syncChanges() }
        }
        #expect(device.gateway.requests.isEmpty)
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(1)])
        try await engine.withSyncPaused { try await engine.signOut(force: true) }
        #expect(try device.count("SELECT count(*) FROM users") == 0)
        try await device.sync()
    }

    @Test("an import may be made from the main actor, and stays on it")
    @MainActor func onMainActor() async throws {
        let device = try Device()
        var imported = 0
        let rows = try await device.engine.withSyncPaused {
            MainActor.assertIsolated()
            imported += 1
            try await device.database.write { db in
                try db.execute(sql: "INSERT INTO users (id) VALUES (?)", arguments: [key(1)])
            }
            MainActor.assertIsolated()
            return imported
        }
        #expect(rows == 1 && imported == 1)
    }

    @Test("an import that fails or is cancelled leaves sync as it was")
    func failing() async throws {
        struct Broken: Error {}
        let device = try Device()
        let engine = device.engine
        await #expect(throws: Broken.self) { try await engine.withSyncPaused { throw Broken() } }
        let task = Task {
            // Never waited out: it stands for work that is cancelled.
            try await engine.withSyncPaused { try await Task.sleep(for: .seconds(3600)) }
        }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        try await device.sync()
        #expect(engine.status.lastSynced != nil)
    }

    @Test("a task that an import began may sync once the import is over")
    func outliving() async throws {
        let device = try Device()
        let engine = device.engine
        let gate = AsyncStream<Void>.makeStream()
        let later = try await engine.withSyncPaused {
            Task {
                for await _ in gate.stream { break }
                try await engine.syncChanges()
            }
        }
        gate.continuation.yield()
        try await later.value
    }

    // loop:  wants to fetch, waits for the lock ────────────── has it: paused ── fetches
    // app:   exchanges ─────────────── pauses ── hears its answer                resumes
    @Test(
        "a loop that waits for an exchange to end begins none after it if sync was paused meanwhile"
    )
    func pausedWhileWaiting() async throws {
        let device = try Device()
        let engine = device.engine
        try await device.sync()
        let before = device.gateway.requests.count
        device.gateway.next(
            .download,
            .holdAnswer {
                try await engine.start()
                let deadline = ContinuousClock.now + .seconds(30)
                while engine.session.lock.waitingCount == 0 {
                    try #require(ContinuousClock.now < deadline)
                    await Task.yield()
                }
                engine.pause()
            })
        try await engine.fetchChanges()
        await EngineTests.status(engine) { $0.state == .paused }
        #expect(device.gateway.requests.count == before + 1)
        engine.resume()
        await EngineTests.status(engine) { $0.state == .idle }
        #expect(device.gateway.requests.count > before + 1)
        await engine.stop()
    }

    @Test("an exchange that was cancelled does not show as one that goes on")
    func cancelledState() async throws {
        let device = try Device()
        let engine = device.engine
        let isHeld = AsyncStream<Void>.makeStream()
        device.gateway.next(
            .download,
            .holdRequest {
                isHeld.continuation.yield()
                // Never waited out: an answer that does not come, until the request is given up.
                try? await Task.sleep(for: .seconds(3600))
            })
        let task = Task { try await engine.syncChanges() }
        for await _ in isHeld.stream { break }
        #expect(engine.status.state == .fetching)
        task.cancel()
        await #expect(throws: (any Error).self) { try await task.value }
        #expect(engine.status.state == .stopped)
    }
}
