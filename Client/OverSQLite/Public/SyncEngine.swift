import Foundation
import GRDB
import Synchronization

/// Keeps tables of the app's SQLite database in sync with a gateway.
///
/// Making an engine for a database installs triggers. From then on they capture every write to the
/// synced tables, from any code and any process, also while no engine runs. Make one engine per
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

    /// Prepares the database and starts to capture the app's writes.
    ///
    /// - Parameters:
    ///   - database: the app's database, after its migrations have run.
    ///   - tables: the tables to sync. Rows that they already hold are sent.
    ///   - configuration: where the gateway is, and how to sync.
    ///   - credentials: returns the bearer token for a request. The engine calls it for every
    ///     request, so the app should cache its token. If the gateway answers 401, the engine calls
    ///     it once more and repeats the request. An app that must know of the 401 uses
    ///     ``init(for:tables:configuration:renewingCredentials:)``.
    /// - Throws: `SyncError.unusableTable` if a table cannot be synced, `SyncError.newerMetadata`
    ///   if a newer version of this library has used the database, or a database error.
    public init(
        for database: any DatabaseWriter, tables: [SyncTable], configuration: SyncConfiguration,
        credentials: @escaping @Sendable () async throws -> String
    ) throws {
        session = try SyncSession(
            database: database, tables: tables, configuration: configuration,
            credentials: { _ in try await credentials() })
    }

    /// Prepares the database and starts to capture the app's writes, like the initializer above,
    /// and tells `credentials` when its last token was rejected.
    ///
    /// ```swift
    /// renewingCredentials: { request in
    ///     if let rejected = request.rejectedToken { await tokens.discard(rejected) }
    ///     return try await tokens.current()
    /// }
    /// ```
    ///
    /// - Parameters:
    ///   - database: the app's database, after its migrations have run.
    ///   - tables: the tables to sync. Rows that they already hold are sent.
    ///   - configuration: where the gateway is, and how to sync.
    ///   - credentials: returns the bearer token for a request. The engine calls it for every
    ///     request, and once more if the gateway answers 401. Its argument has the token that the
    ///     server has just rejected, if it did, and the server's reason.
    /// - Throws: the same as the initializer above.
    public init(
        for database: any DatabaseWriter, tables: [SyncTable], configuration: SyncConfiguration,
        renewingCredentials credentials:
            @escaping @Sendable (CredentialsRequest) async throws -> String
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

    /// The current status.
    public var status: SyncStatus { session.board.status }

    /// The current status and every later one. A slow reader receives only the newest.
    public var statusUpdates: AsyncStream<SyncStatus> { session.board.follow() }

    #if canImport(Observation)
        /// The status as an `@Observable` object for SwiftUI and other observers. An engine has one
        /// such object for its whole life.
        @MainActor public var observableStatus: ObservableSyncStatus {
            session.board.observed.object(of: session.board)
        }
    #endif

    /// Resolved conflicts, rejected changes and rereads of the log, from now on.
    ///
    /// Events that happen while nobody listens are not repeated. ``settledConflicts`` and
    /// ``rejectedChanges`` return what the app must not miss.
    public var events: AsyncStream<SyncEvent> { session.board.listen() }

    /// The name under which the server knows this device.
    ///
    /// Ask your back end for tokens that carry this name as `did`. If a token carries another name,
    /// the engine uses that name from then on. If a token carries none, as those of most identity
    /// providers, the engine sends this name in the header `Oversync-Device`. A new engine that
    /// finds its database file to be a copy takes a new name. So do not keep the name anywhere
    /// else: read it here before each sign-in.
    ///
    /// - Throws: a database error, as `SyncError`.
    public var deviceID: String {
        get async throws {
            try await session.read { db in try DeviceStateTable(db: db).ownName() }
        }
    }

    /// Keeps the device id although another installation has had it, as when a phone was replaced
    /// by one that was set up from its backup. The notice `sharedDeviceID` goes away.
    ///
    /// Do not call it while the other installation may still sync: the two would skip each other's
    /// changes.
    ///
    /// - Throws: a database error, as `SyncError`.
    public func keepDeviceID() async throws {
        try await session.write { db in try DeviceStateTable(db: db).forgetOriginal() }
        session.board.show([], of: [.sharedDeviceID, .copiedDatabase])
    }

    // MARK: Sync once

    /// Fetches and then sends, once. It fetches everything that was committed before the call, as
    /// ``fetchChanges()`` does. On a new device the whole log is fetched before anything is
    /// sent.
    ///
    /// If the server has taken something, it fetches again: the server may have stored other values
    /// than were sent, such as defaults, and the row shows them afterwards. If this second fetch
    /// fails, the call does not: everything is sent by then, and the next sync fetches the rest.
    ///
    /// - Throws: `SyncError`. What was applied or confirmed before the error stays;
    ///   `CancellationError` if the task is cancelled.
    public func syncChanges() async throws {
        try await exchange {
            try await self.session.fetch(isFresh: true)
            if try await self.session.send().hasConfirmed {
                do { try await self.session.fetch(isFresh: true) } catch is SyncError {}
            }
        }
        session.board.update { $0.recordSync(at: self.session.configuration.clock.now) }
    }

    /// Sends pending changes until none is left that may be sent now.
    ///
    /// - Throws: `SyncError`. A rejected row is not an error; it is in `rejectedChanges`.
    public func sendChanges() async throws {
        try await exchange { _ = try await self.session.send() }
    }

    /// Downloads the log to its end: everything that was committed before the call, also by plain
    /// SQL of a back end a moment ago. (Servers older than this parameter may miss that for half a
    /// second.)
    ///
    /// - Throws: `SyncError`, for example `SyncError.paused` while sync is paused.
    public func fetchChanges() async throws {
        try await exchange { try await self.session.fetch(isFresh: true) }
    }

    /// Seconds that ``waitForFirstSync()`` waits for a sync to begin.
    public static let startPatience = 5.0

    /// Waits until the device has downloaded the whole log for the first time. Returns at once if
    /// it already has.
    ///
    /// Something must sync meanwhile: the background loop, or a call of `syncChanges()`. This
    /// method keeps waiting through errors that may pass, such as being offline; `statusUpdates`
    /// shows them.
    ///
    /// - Throws: `SyncError.stopped` if no sync begins within ``startPatience`` seconds, or if
    ///   syncing ends first. `SyncError.paused` inside ``withSyncPaused(_:)``. `CancellationError`
    ///   if the task is cancelled; a database error, as `SyncError`.
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

    /// Runs `body` while nothing is sent or fetched: the write lock for imports.
    ///
    /// A running exchange finishes first, and none begins until `body` returns. What the app writes
    /// is captured as usual and is sent afterwards. Inside `body` the app may pause again, sign in
    /// and sign out; a sync call throws `SyncError.paused`.
    ///
    /// `body` runs in the caller's isolation, such as the main actor.
    ///
    /// - Throws: what `body` throws; `CancellationError` if the task is cancelled while it waits.
    nonisolated(nonsending) public func withSyncPaused<Value: Sendable>(
        _ body: nonisolated(nonsending) () async throws -> Value
    ) async throws -> Value {
        pauseCount(1)
        defer { pauseCount(-1) }
        return try await session.exclusively(body)
    }

    func exchange(_ body: @escaping @Sendable () async throws -> Void) async throws {
        session.outcomes.began()
        defer { session.outcomes.ended() }
        do {
            // This task already holds the lock, so waiting for it would never end.
            if Hold.isMine(session) { throw SyncError.paused }
            try await session.inTurn {
                // The background loop waits meanwhile and then continues in the same state.
                let before = status.state
                defer {
                    if loops.isRunning { show(before == .stopped ? .idle : before) }
                }
                try await Standstill(session: session, touched: nil).watch(body)
            }
            showEnd(of: nil)
        } catch SyncError.paused {
            // The app paused sync itself, so the status shows no error.
            throw SyncError.paused
        } catch let error as SyncError {
            showEnd(of: error)
            // Update the counts even though the exchange failed.
            try? await session.refreshCounts()
            throw error
        } catch {
            // A cancelled exchange is not an error, but it is over.
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
            if error != nil { status.endTransfers() }
            if !self.loops.isRunning { status.state = .stopped }
        }
    }

    private var isHydrated: Bool {
        get async throws {
            try await session.read { db in try DeviceStateTable(db: db).read().isHydrated }
        }
    }

    // MARK: In the background

    /// Starts syncing in the background. Does nothing if it is already running.
    ///
    /// - Throws: a database error, as `SyncError`. Later errors appear in the status.
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

    /// Stops syncing in the background and returns when it has stopped. A running request is
    /// cancelled; the next start repeats it.
    public func stop() async {
        guard await loops.stop() else { return }
        session.board.update { $0.state = .stopped }
    }

    /// Syncs like `start()`, but in the caller's task, until that task is cancelled. Use it in apps
    /// that keep their long-lived tasks in one place. While it runs, `start()` does nothing, and
    /// `stop()` does not end it.
    ///
    /// - Throws: `SyncError.alreadyRunning` if sync is already running in the background; a
    ///   database error, as `SyncError`. Both are thrown before sync begins; later errors appear in
    ///   the status.
    public func run() async throws {
        try await session.refreshCounts()
        try await loops.run {
            session.outcomes.began()
            await makeLoop().run()
            session.outcomes.ended()
        }
        session.board.update { $0.state = .stopped }
    }

    /// Pauses sync until `resume()`. A running exchange finishes.
    public func pause() { pauseCount(1) }

    /// Undoes one `pause()`. Sync resumes when every `pause()` has been undone.
    public func resume() { pauseCount(-1) }

    /// Tries again now, without waiting for the next retry. Call it when the network is back or the
    /// app has new credentials.
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
            send: { [session] in try await session.inTurn { try await session.send().retryAt } })
    }
}
