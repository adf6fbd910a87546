import LogFields
import Logging
import ServiceLifecycle
import Synchronization

/// Connections to one database, shared by the tasks of a service.
///
/// ``PoolMachine`` holds the rules; this type carries its actions out. It works from the first
/// ``withConnection(deadline:isolation:_:)`` on. `run()` keeps the minimum open and ends the pool in
/// order when the service shuts down.
package final class PostgresPool: Service, Timed {
    package typealias Instant = ContinuousClock.Instant
    private typealias Waiter = CheckedContinuation<Result<Lease, PostgresError>, Never>

    /// A borrowed connection with the number under which it is returned.
    private struct Lease: Sendable {
        let id: PoolMachine.ConnectionID
        let connection: PostgresConnection
    }

    private struct State {
        var machine: PoolMachine
        var connections: [PoolMachine.ConnectionID: PostgresConnection] = [:]
        var waiters: [PoolMachine.WaiterID: Waiter] = [:]
        var drained: [CheckedContinuation<Void, Never>] = []
        var isDrained = false
        /// The failure that the log has, and since when.
        var toldFailure: (error: PostgresError, at: Instant)?
    }

    /// How often the log is reminded of an outage that goes on.
    private static let failureReminder: Duration = .seconds(30)

    /// An action with its objects looked up, carried out after the lock is released.
    private enum Effect: Sendable {
        case open(PoolMachine.ConnectionID, PostgresConnection)
        case close(PostgresConnection)
        case check(PoolMachine.ConnectionID, PostgresConnection)
        case answer(Waiter, Result<Lease, PostgresError>)
        case finished([CheckedContinuation<Void, Never>])
    }

    private let configuration: PostgresConfiguration
    private let logger: Logger
    private let observer: (any PoolObserver)?
    private let state: Mutex<State>

    package init(
        _ configuration: PostgresConfiguration, pool: PoolConfiguration, logger: Logger,
        observer: (any PoolObserver)? = nil
    ) {
        self.configuration = configuration
        self.logger = logger
        self.observer = observer
        state = Mutex(State(machine: PoolMachine(pool)))
        Poller.shared.add(self)
    }

    deinit {
        Poller.shared.remove(ObjectIdentifier(self))
    }

    /// Whether the queue for a connection is full.
    package var isFull: Bool { state.withLock { $0.machine.isFull(now: .now) } }

    package var statistics: PoolStatistics {
        state.withLock { $0.machine.statistics }
    }

    /// Why the pool has no connection, if its last attempt to make one failed.
    package var failure: PostgresError? {
        state.withLock { $0.machine.failure.map { PostgresError($0) } }
    }

    /// Ends the pause after a failed attempt: the caller knows that the server is back.
    package func retry() { decide { $0.retry(now: .now) } }

    /// Keeps the minimum open until graceful shutdown, then refuses new borrowers, waits for the
    /// present ones and closes everything. Cancelling closes the borrowed connections too.
    package func run() async throws {
        decide { $0.start(now: .now) }
        try? await gracefulShutdown()
        await drain(force: Task.isCancelled)
    }

    /// Lends a connection to `body`.
    ///
    /// A transaction that `body` leaves open is rolled back. `body` must not keep the connection.
    /// - Parameter deadline: bounds the wait for the connection; the pool's own timeout does too.
    /// - Throws: what `body` throws, or a ``PostgresError``: `.deadlineExceeded`, `.poolExhausted`
    ///   when too many wait, `.connectFailed` when the server cannot be reached, `.poolClosed`, `.cancelled`.
    package func withConnection<Value>(
        deadline: Instant? = nil,
        isolation: isolated (any Actor)? = #isolation,
        _ body: (PostgresConnection) async throws -> Value
    ) async throws -> Value {
        let lease = try await acquire(deadline)
        defer { release(lease) }
        return try await body(lease.connection)
    }

    func tick(now: Instant) -> Instant? {
        decide { $0.tick(now: now) }
        return state.withLock { $0.machine.nextTick }
    }

    private func acquire(_ deadline: Instant?) async throws(PostgresError) -> Lease {
        let start = Instant.now
        let number = WaiterNumber()
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { (waiter: Waiter) in
                act { state in
                    let (id, actions) = state.machine.acquire(deadline: deadline, now: start)
                    state.waiters[id] = waiter
                    // Cancelled before it had a number: the handler could not name it.
                    return number.begin(id) ? actions : actions + state.machine.abandon(id)
                }
            }
        } onCancel: {
            guard let id = number.cancel() else { return }
            decide { $0.abandon(id) }
        }
        switch outcome {
        case .success: observer?.poolDid(.acquired(after: .now - start))
        case .failure(let error): observer?.poolDid(.refused(error.kind))
        }
        return try outcome.get()
    }

    private func release(_ lease: Lease) {
        let connection = lease.connection
        // One that was cut off in the middle of a statement is closed.
        guard connection.needsReset, connection.isReady || connection.isInTransaction else {
            let isReusable = connection.isReady
            return decide { $0.release(lease.id, isReusable: isReusable, now: .now) }
        }
        if connection.isInTransaction { observer?.poolDid(.rolledBack) }
        connection.reset { [weak self] error in
            self?.decide { $0.release(lease.id, isReusable: error == nil, now: .now) }
        }
    }

    private func drain(force: Bool) async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isDrained = state.withLock { state in
                    if !state.isDrained { state.drained.append(continuation) }
                    return state.isDrained
                }
                if isDrained { return continuation.resume() }
                decide { $0.drain(force: force, now: .now) }
            }
        } onCancel: {
            decide { $0.drain(force: true, now: .now) }
        }
    }

    private func decide(_ step: (inout PoolMachine) -> [PoolMachine.Action]) {
        act { step(&$0.machine) }
    }

    /// Lets the machine decide under the lock, and carries out what it decided.
    private func act(_ step: (inout State) -> [PoolMachine.Action]) {
        let (effects, next) = state.withLock { state in
            let effects = step(&state).compactMap { resolve($0, &state) }
            return (effects, state.machine.nextTick)
        }
        for effect in effects { perform(effect) }
        if let next { Poller.shared.remember(next) }
    }

    private func resolve(_ action: PoolMachine.Action, _ state: inout State) -> Effect? {
        switch action {
        case .open(let id):
            let connection = PostgresConnection(configuration, logger: logger) {
                [weak self] error in self?.connectionClosed(id, error)
            }
            state.connections[id] = connection
            return .open(id, connection)
        case .close(let id):
            return state.connections.removeValue(forKey: id).map { .close($0) }
        case .check(let id):
            return state.connections[id].map { .check(id, $0) }
        case .hand(let id, let waiter):
            guard let connection = state.connections[id] else { return nil }
            let lease = Lease(id: id, connection: connection)
            return state.waiters.removeValue(forKey: waiter).map { .answer($0, .success(lease)) }
        case .refuse(let waiter, let kind):
            let error = PostgresError(kind)
            return state.waiters.removeValue(forKey: waiter).map { .answer($0, .failure(error)) }
        case .finished:
            defer { (state.drained, state.isDrained) = ([], true) }
            return .finished(state.drained)
        }
    }

    private func perform(_ effect: Effect) {
        switch effect {
        case .open(let id, let connection): open(id, connection)
        case .answer(let waiter, let outcome): waiter.resume(returning: outcome)
        case .finished(let continuations):
            for continuation in continuations { continuation.resume() }
        case .close(let connection):
            connection.close()
            observer?.poolDid(.closed)
        case .check(let id, let connection):
            connection.reset { [weak self] error in
                self?.decide { $0.checked(id, isHealthy: error == nil, now: .now) }
            }
        }
    }

    private func open(_ id: PoolMachine.ConnectionID, _ connection: PostgresConnection) {
        let start = Instant.now
        connection.open { [weak self, observer] error in
            let now = Instant.now
            let jitter = Double.random(in: 0...1)
            guard let error else {
                observer?.poolDid(.opened(after: now - start))
                self?.recordReached()
                self?.decide { $0.opened(id, now: now, jitter: jitter) }
                return
            }
            self?.recordFailure(error, now: now)
            observer?.poolDid(.openFailed(error))
            self?.decide {
                $0.openFailed(id, because: error.kind, now: now, jitter: jitter)
            }
        }
    }

    /// Attempts never stop, so attempts that fail for the same reason share one line.
    private func recordFailure(_ error: PostgresError, now: Instant) {
        let isNews = state.withLock { state in
            if let told = state.toldFailure, told.error == error,
                now - told.at < Self.failureReminder
            {
                return false
            }
            state.toldFailure = (error, now)
            return true
        }
        guard isNews else { return }
        logger.warning("postgres connection failed", metadata: .fields([.error: "\(error)"]))
    }

    private func recordReached() {
        let wasFailing = state.withLock { state in
            defer { state.toldFailure = nil }
            return state.toldFailure != nil
        }
        if wasFailing { logger.info("postgres connection is back") }
    }

    private func connectionClosed(_ id: PoolMachine.ConnectionID, _ error: PostgresError) {
        // Those that the pool closes itself are no longer in the table; one that is still being
        // opened reports its failure by itself, and the machine ignores this.
        guard state.withLock({ $0.connections[id] != nil }) else { return }
        decide { $0.lost(id, now: .now) }
        observer?.poolDid(.lost(error))
    }
}

/// The number of a waiter, which a cancellation may want before there is one.
private final class WaiterNumber: Sendable {
    private enum Phase {
        case none
        case waiting(PoolMachine.WaiterID)
        case cancelled
    }

    private let phase = Mutex(Phase.none)

    /// Returns false when it was cancelled before.
    func begin(_ id: PoolMachine.WaiterID) -> Bool {
        phase.withLock { phase in
            if case .cancelled = phase { return false }
            phase = .waiting(id)
            return true
        }
    }

    /// Returns the waiter to abandon, if it has begun.
    func cancel() -> PoolMachine.WaiterID? {
        phase.withLock { phase in
            defer { phase = .cancelled }
            if case .waiting(let id) = phase { return id }
            return nil
        }
    }
}
