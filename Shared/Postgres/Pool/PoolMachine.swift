import Waiting

/// The rules of a connection pool: who gets which connection, what is opened, what is closed.
///
/// A value without clock, sockets or tasks. Each function says what happened and returns what to do,
/// in order. Invariants, which the random walks of its tests check:
///
/// 1. There are never more connections than the maximum, those being opened included.
/// 2. A connection is with one borrower at most.
/// 3. Waiters are served in the order in which they came, and each gets exactly one answer.
/// 4. While somebody waits, a connection is idle only if it is being checked.
/// 5. While no connection is there, attempts have failed for `outageBridge`, and none under way is younger than
///    `attemptPatience`, nobody waits: who would is refused with the cause of the last failure.
struct PoolMachine {
    typealias Instant = ContinuousClock.Instant
    typealias ConnectionID = Int
    typealias WaiterID = Int

    enum Action: Equatable {
        case open(ConnectionID)
        case close(ConnectionID)
        /// Ask for a sign of life and report with ``checked(_:isHealthy:now:)``.
        case check(ConnectionID)
        case hand(ConnectionID, to: WaiterID)
        case refuse(WaiterID, PostgresError.Kind)
        /// Drained: nothing is open any more.
        case finished
    }

    /// The pauses after failed attempts to connect. The longest bounds how late a server that is
    /// back is found: well below the 3 s in which a service must be ready again.
    static let backoff = Backoff(
        first: .milliseconds(100), longest: .milliseconds(500), steadyShare: 0.5)
    /// How long an attempt to connect is hoped for during an outage: a server that is there answers well within it, and
    /// one that is silent must not let everybody wait for the attempt's own end.
    static let attemptPatience = Duration.milliseconds(500)
    /// The share of the lifetime over which the ends of connections are spread.
    static let lifetimeSpread = 0.1

    private enum Phase: Equatable {
        case opening
        case idle(since: Instant)
        case checking
        case borrowed
    }

    private struct Connection {
        var phase: Phase
        /// When it is to be replaced; set when it is open.
        var expiry: Instant?
        /// When the attempt to connect began; nil once it is open.
        var attempt: Instant?
    }

    /// Attempts to connect fail, and none has succeeded since.
    private struct Outage {
        let since: Instant
        var cause: PostgresError.Kind
    }

    private enum Life {
        /// Used, but nobody runs it: no minimum is kept.
        case unattended
        case running
        case draining
        case drained
    }

    private let configuration: PoolConfiguration
    private var life = Life.unattended
    private var connections: [ConnectionID: Connection] = [:]
    /// Free connections; the last one was used last and is handed out first.
    private var idle: [ConnectionID] = []
    private var queue = WaitList<Patience>()
    private var lastConnection = 0
    private var lastWaiter = 0
    private var backoff = Self.backoff
    private var retryAt: Instant?
    private var outage: Outage?

    init(_ configuration: PoolConfiguration) {
        self.configuration = configuration
    }

    /// Keeps the minimum open from now on.
    mutating func start(now: Instant) -> [Action] {
        guard life == .unattended else { return [] }
        life = .running
        return serve(now)
    }

    /// Whether the queue is full.
    func isFull(now: Instant) -> Bool {
        queue.count >= configuration.maximumWaiters + servable(now)
    }

    /// Somebody wants a connection, and waits until `deadline` at the longest.
    mutating func acquire(deadline: Instant?, now: Instant) -> (WaiterID, [Action]) {
        lastWaiter += 1
        let waiter = lastWaiter
        if life == .draining || life == .drained {
            return (waiter, [.refuse(waiter, .poolClosed)])
        }
        if isFull(now: now) { return (waiter, [.refuse(waiter, .poolExhausted)]) }
        let latest = now + configuration.acquireTimeout
        if let deadline, deadline <= latest {
            queue.append(waiter, Patience(end: deadline, reason: .deadlineExceeded))
        } else {
            queue.append(waiter, Patience(end: latest, reason: .poolExhausted))
        }
        return (waiter, serve(now))
    }

    /// The waiter's task was cancelled. Nothing happens if it has been served.
    mutating func abandon(_ waiter: WaiterID) -> [Action] {
        queue.remove(waiter) ? [.refuse(waiter, .cancelled)] : []
    }

    /// A connection is open. `jitter` within 0 and 1 shortens its life.
    mutating func opened(_ id: ConnectionID, now: Instant, jitter: Double) -> [Action] {
        guard connections[id]?.phase == .opening else { return [] }
        backoff.reset()
        retryAt = nil
        outage = nil
        let lifetime = configuration.maximumLifetime * (1 - Self.lifetimeSpread * jitter)
        connections[id] = Connection(phase: .idle(since: now), expiry: now + lifetime)
        idle.append(id)
        return serve(now)
    }

    /// A connection could not be made. `jitter` within 0 and 1 lengthens the pause before the next.
    mutating func openFailed(
        _ id: ConnectionID, because cause: PostgresError.Kind, now: Instant, jitter: Double
    ) -> [Action] {
        guard connections[id]?.phase == .opening else { return [] }
        connections[id] = nil
        outage = Outage(since: outage?.since ?? now, cause: cause)
        retryAt = now + backoff.fail(jitter: jitter)
        return [.close(id)] + serve(now)
    }

    /// Somebody else has reached the server: the pause after a failed attempt is over, and an attempt that hangs since
    /// before is given up for a new one.
    mutating func retry(now: Instant) -> [Action] {
        guard outage != nil, life != .draining, life != .drained else { return [] }
        retryAt = nil
        var actions: [Action] = []
        for (id, connection) in connections.sorted(by: { $0.key < $1.key })
        where connection.phase == .opening && !isHoped(connection, now) {
            connections[id] = nil
            actions.append(.close(id))
        }
        actions += serve(now)
        // Also where nobody waits and no minimum is kept: the outage stands until a connection is made.
        if connections.isEmpty { actions.append(open(now)) }
        return actions
    }

    /// Why no connection is open, if the last attempt failed.
    var failure: PostgresError.Kind? {
        isUnreached ? outage?.cause : nil
    }

    /// A borrowed connection comes back.
    mutating func release(_ id: ConnectionID, isReusable: Bool, now: Instant) -> [Action] {
        guard let connection = connections[id], connection.phase == .borrowed else { return [] }
        if !isReusable || life == .draining || isExpired(connection, now) {
            connections[id] = nil
            return [.close(id)] + serve(now)
        }
        becomeIdle(id, now)
        return serve(now)
    }

    /// The answer to ``Action/check(_:)``.
    mutating func checked(_ id: ConnectionID, isHealthy: Bool, now: Instant) -> [Action] {
        guard connections[id]?.phase == .checking else { return [] }
        if !isHealthy || life == .draining {
            connections[id] = nil
            return [.close(id)] + serve(now)
        }
        becomeIdle(id, now)
        return serve(now)
    }

    /// The connection broke. Its place is free at once, even while somebody still holds it.
    mutating func lost(_ id: ConnectionID, now: Instant) -> [Action] {
        guard let connection = connections[id], connection.phase != .opening else { return [] }
        connections[id] = nil
        idle.removeAll { $0 == id }
        return [.close(id)] + serve(now)
    }

    /// Does what time brings: waits that end, connections that are too old or idle too long.
    mutating func tick(now: Instant) -> [Action] {
        if let retryAt, retryAt <= now { self.retryAt = nil }
        var actions = queue.removeExpired(now: now).map {
            Action.refuse($0.id, $0.value.reason)
        }
        for id in idle where isOverdue(id, now) {
            connections[id] = nil
            actions.append(.close(id))
        }
        idle.removeAll { connections[$0] == nil }
        return actions + serve(now)
    }

    /// When ``tick(now:)`` has something to do next.
    var nextTick: Instant? {
        var next = queue.nextDeadline
        func consider(_ instant: Instant?) {
            guard let instant else { return }
            next = next.map { min($0, instant) } ?? instant
        }
        consider(retryAt)
        if !queue.isEmpty, let outage, isUnreached {
            let attempts = connections.values.compactMap(\.attempt).map {
                $0 + Self.attemptPatience
            }
            consider(([outage.since + configuration.outageBridge] + attempts).max())
        }
        for id in idle {
            guard let connection = connections[id] else { continue }
            consider(connection.expiry)
            if case .idle(let since) = connection.phase, connections.count > kept {
                consider(since + configuration.maximumIdleTime)
            }
        }
        return next
    }

    /// Ends the pool: those who wait are refused, free connections are closed, borrowed ones when
    /// they come back. `force` closes the borrowed ones too.
    mutating func drain(force: Bool, now: Instant) -> [Action] {
        if life == .drained { return [] }
        life = .draining
        var actions = queue.removeAll().map { Action.refuse($0, .poolClosed) }
        for (id, connection) in connections.sorted(by: { $0.key < $1.key })
        where force || connection.phase != .borrowed {
            connections[id] = nil
            actions.append(.close(id))
        }
        idle = []
        return actions + serve(now)
    }

    var statistics: PoolStatistics {
        var statistics = PoolStatistics(maximum: configuration.maximumConnections)
        statistics.waiting = queue.count
        for connection in connections.values {
            switch connection.phase {
            case .opening: statistics.connecting += 1
            case .idle, .checking: statistics.idle += 1
            case .borrowed: statistics.inUse += 1
            }
        }
        return statistics
    }

    /// How many connections are kept though nobody uses them.
    private var kept: Int {
        life == .running ? configuration.minimumConnections : 0
    }

    private mutating func becomeIdle(_ id: ConnectionID, _ now: Instant) {
        connections[id]?.phase = .idle(since: now)
        idle.append(id)
    }

    private func isExpired(_ connection: Connection, _ now: Instant) -> Bool {
        connection.expiry.map { $0 <= now } ?? false
    }

    private func isOverdue(_ id: ConnectionID, _ now: Instant) -> Bool {
        guard let connection = connections[id] else { return false }
        if isExpired(connection, now) { return true }
        guard case .idle(let since) = connection.phase, connections.count > kept else {
            return false
        }
        return now - since >= configuration.maximumIdleTime
    }

    /// After every change: serve who waits, open what is missing, notice the end.
    private mutating func serve(_ now: Instant) -> [Action] {
        if life == .draining {
            if !connections.isEmpty { return [] }
            life = .drained
            return [.finished]
        }
        var actions: [Action] = []
        serve(now, &actions)
        while mayOpen(now), isShort {
            actions.append(open(now))
        }
        if let outage, isUnreached, now - outage.since >= configuration.outageBridge,
            !connections.values.contains(where: { isHoped($0, now) })
        {
            actions += queue.removeAll().map { .refuse($0, outage.cause) }
        }
        return actions
    }

    private mutating func open(_ now: Instant) -> Action {
        lastConnection += 1
        connections[lastConnection] = Connection(phase: .opening, attempt: now)
        return .open(lastConnection)
    }

    /// No connection is there; at most attempts are under way.
    private var isUnreached: Bool { connections.values.allSatisfy { $0.phase == .opening } }

    private func isHoped(_ connection: Connection, _ now: Instant) -> Bool {
        connection.attempt.map { now - $0 < Self.attemptPatience } ?? false
    }

    private mutating func serve(_ now: Instant, _ actions: inout [Action]) {
        // A check is made for a waiter: no more of them than there are waiters.
        var unserved = queue.count - count(of: .checking)
        while !queue.isEmpty, unserved > 0, let id = idle.popLast() {
            unserved -= 1
            guard let connection = connections[id], case .idle(let since) = connection.phase
            else { continue }
            if now - since >= configuration.healthCheckAfterIdle {
                connections[id]?.phase = .checking
                actions.append(.check(id))
            } else if let waiter = queue.popFirst() {
                connections[id]?.phase = .borrowed
                actions.append(.hand(id, to: waiter))
            }
        }
    }

    /// How many callers need no borrower to finish first; these do not count as waiting.
    private func servable(_ now: Instant) -> Int {
        let isDown = retryAt.map { $0 > now } ?? false
        let room = isDown ? 0 : configuration.maximumConnections - connections.count
        return room + idle.count + count(of: .opening) + count(of: .checking)
    }

    /// More are wanted than are open or on their way.
    private var isShort: Bool {
        let coming = count(of: .opening) + count(of: .checking)
        return queue.count > coming || connections.count < kept
    }

    /// There is room, and the server is not believed to be down; then one attempt is enough.
    private func mayOpen(_ now: Instant) -> Bool {
        guard connections.count < configuration.maximumConnections else { return false }
        if let retryAt, retryAt > now { return false }
        return backoff.failures == 0 || count(of: .opening) == 0
    }

    private func count(of phase: Phase) -> Int {
        connections.values.count { $0.phase == phase }
    }
}
