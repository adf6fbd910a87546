import Foundation
import GRDB
import Synchronization

/// Keeps tables of an app's SQLite database in step with a gateway.
///
/// From the moment an engine has been made for a database, triggers note every row the app writes
/// to the synced tables, whoever writes it and whether or not an engine runs. Make one engine per
/// database in a process.
///
/// ```swift
/// let engine = try SyncEngine(
///     for: database, tables: [.init("users"), .init("posts")],
///     configuration: .init(gateway: url, schema: "business"),
///     credentials: { try await session.token() })
/// try await engine.start()
/// ```
public final class SyncEngine: Sendable {
    let session: SyncSession
    private let wake = Signal()
    private let loops = LoopKeeper()

    /// Prepares the database and begins to note the app's writes.
    ///
    /// - Parameters:
    ///   - database: the app's own, after its migrations.
    ///   - tables: the tables to sync; rows they hold already are sent.
    ///   - configuration: where the gateway is, and how to sync.
    ///   - credentials: gives the bearer token for a request. It is called for each one, so the app
    ///     should
    ///     keep the token it has; it is called again at once when the gateway answers 401.
    /// - Throws: `SyncError.unusableTable`, `SyncError.newerMetadata`, or a database error.
    public init(
        for database: any DatabaseWriter, tables: [SyncTable], configuration: SyncConfiguration,
        credentials: @escaping @Sendable () async throws -> String
    ) throws {
        session = try SyncSession(
            database: database, tables: tables, configuration: configuration,
            credentials: credentials)
    }

    deinit {
        loops.cancel()
        session.board.finish()
    }

    // MARK: Status

    /// The status now.
    public var status: SyncStatus { session.board.status }

    /// The status now and every later one. A slow reader skips to the newest.
    public var statusUpdates: AsyncStream<SyncStatus> { session.board.follow() }

    #if canImport(Observation)
        /// The status for SwiftUI and whatever else observes: one object for the engine's life.
        @MainActor public var observableStatus: ObservableSyncStatus {
            session.board.observed.object(of: session.board)
        }
    #endif

    /// Conflicts settled, rows rejected and re-readings of the feed from now on. What must not be
    /// missed can be asked for at any time: ``settledConflicts``, ``rejectedChanges``.
    public var events: AsyncStream<SyncEvent> { session.board.listen() }

    /// The name under which the server knows this device. Tokens for it carry it as `did`; if a
    /// token carries another, that one is used from then on.
    ///
    /// - Throws: a database error, as `SyncError`.
    public var deviceID: String {
        get async throws {
            try await session.read { db in try DeviceStateTable(db: db).read().sourceID }
        }
    }

    // MARK: Exchange by hand

    /// Fetches, then sends, once. The first sync of a device reads the feed to its end before it
    /// sends.
    ///
    /// - Throws: `SyncError`. Whatever was exchanged before the failure stays.
    public func syncChanges() async throws {
        try await exchange {
            try await self.session.fetch()
            _ = try await self.session.send()
        }
        session.board.update { $0.lastSynced = self.session.configuration.clock.now }
    }

    /// Sends what waits until nothing is left that may be sent now.
    ///
    /// - Throws: `SyncError`. Rows the server refused throw nothing; they are in `rejectedChanges`.
    public func sendChanges() async throws {
        try await exchange { _ = try await self.session.send() }
    }

    /// Reads the feed to its end.
    ///
    /// - Throws: `SyncError`; `SyncError.paused` while the app has paused sync.
    public func fetchChanges() async throws {
        try await exchange { try await self.session.fetch() }
    }

    /// Seconds that ``waitForFirstSync()`` gives the app to begin to sync.
    public static let startPatience = 5.0

    /// Returns when the device has read the feed to its end for the first time, at once if it has.
    ///
    /// Something must sync meanwhile: the loops, or a call of `syncChanges()`. Failures that may
    /// pass are waited out, offline for as long as it takes; `statusUpdates` tells of them.
    ///
    /// - Throws: `SyncError.stopped` if nothing has begun to sync within ``startPatience``, or once
    ///   it has ended. `SyncError.paused` within ``withSyncPaused(_:)``. `CancellationError`; a
    ///   database error, as `SyncError`.
    public func waitForFirstSync() async throws {
        if try await isHydrated { return }
        if Hold.isMine(session) { throw SyncError.paused }
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask { [self] in
                var hasBegun = false
                for await status in statusUpdates {
                    if status.hasFinishedFirstSync { return true }
                    if status.state != .stopped { hasBegun = true } else if hasBegun { break }
                }
                try Task.checkCancellation()
                throw SyncError.stopped
            }
            group.addTask { [session] in
                try await session.configuration.clock.sleep(seconds: Self.startPatience)
                guard session.outcomes.isWorking else { throw SyncError.stopped }
                return false
            }
            defer { group.cancelAll() }
            while try await group.next() == false {}
        }
    }

    /// Runs `body` with no exchange under way and none beginning, as for a large import. What the
    /// app writes is noted as always and goes out afterwards. An exchange under way is finished
    /// first. In `body` the app may pause again, and sign in or out; an exchange is refused with
    /// `SyncError.paused`.
    ///
    /// `body` runs where its caller does, as on the main actor.
    ///
    /// - Throws: what `body` throws; `CancellationError`.
    nonisolated(nonsending) public func withSyncPaused<Value: Sendable>(
        _ body: nonisolated(nonsending) () async throws -> Value
    ) async throws -> Value {
        pauseCount(1)
        defer { pauseCount(-1) }
        return try await session.exclusively(body)
    }

    private func exchange(_ body: @escaping @Sendable () async throws -> Void) async throws {
        session.outcomes.began()
        defer { session.outcomes.ended() }
        do {
            // The lock is this very task's.
            if Hold.isMine(session) { throw SyncError.paused }
            try await session.inTurn {
                // The loops, which wait meanwhile, go on where they were.
                let before = status.state
                defer {
                    if loops.isRunning { show(before == .stopped ? .idle : before) }
                }
                try await Standstill(session: session, touched: nil).watch(body)
            }
            showEnd(of: nil)
        } catch SyncError.paused {
            // The app's own doing is no failure to be shown.
            throw SyncError.paused
        } catch let error as SyncError {
            showEnd(of: error)
            // Whatever failed, what waits is counted.
            try? await session.refreshCounts()
            throw error
        } catch {
            // Cancelled: no failure, but over.
            showEnd(of: status.lastError)
            throw error
        }
    }

    private func show(_ state: SyncStatus.State) {
        session.board.update { $0.state = state }
    }

    private func showEnd(of error: SyncError?) {
        session.board.update { status in
            status.lastError = error
            if error != nil { status.progress = nil }
            if !self.loops.isRunning { status.state = .stopped }
        }
    }

    private var isHydrated: Bool {
        get async throws {
            try await session.read { db in try DeviceStateTable(db: db).read().isHydrated }
        }
    }

    // MARK: In the background

    /// Begins to sync in the background. Does nothing if that has begun already.
    ///
    /// - Throws: a database error, as `SyncError`. What fails later is in the status.
    public func start() async throws {
        try await session.refreshCounts()
        await loops.start {
            session.board.update { $0.state = .idle }
            let loop = makeLoop()
            session.outcomes.began()
            return Task {
                await loop.run()
                loop.session.outcomes.ended()
            }
        }
    }

    /// Ends the background loops and returns when they have ended. A request under way is given up;
    /// what it was about is asked again at the next start.
    public func stop() async {
        guard await loops.stop() else { return }
        session.board.update { $0.state = .stopped }
    }

    /// Syncs until the task is cancelled, as `start()` does, in the caller's own task: for apps
    /// that keep their long-lived tasks in one place. `start()` does nothing meanwhile, and
    /// `stop()` leaves it alone.
    ///
    /// - Throws: before anything has begun: `SyncError.alreadyRunning` if a loop runs, a database
    ///   error, as `SyncError`.
    public func run() async throws {
        try await session.refreshCounts()
        try await loops.run {
            session.outcomes.began()
            await makeLoop().run()
            session.outcomes.ended()
        }
        session.board.update { $0.state = .stopped }
    }

    /// Begins no further exchange until `resume()`; one under way is finished.
    public func pause() { pauseCount(1) }

    /// Undoes one `pause()`.
    public func resume() { pauseCount(-1) }

    /// Tries again now: the network is back, or the app has new credentials.
    public func retryNow() { wake.raise(.nudge) }

    private func pauseCount(_ change: Int) {
        session.pauses.withLock { $0 = max(0, $0 + change) }
        wake.raise(.pause)
    }

    private func makeLoop() -> SyncLoop {
        SyncLoop(
            session: session, wake: wake,
            touched: Signal(),
            fetch: { [session] in try await session.inTurn { try await session.fetch() } },
            send: { [session] in try await session.inTurn { try await session.send() } })
    }
}
