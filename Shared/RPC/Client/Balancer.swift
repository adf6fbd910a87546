import Waiting

/// How good a choice a connection is for a call.
enum LinkGrade: Hashable, Comparable {
    /// Its replica says that it cannot serve, or has not said anything lately.
    case notReady
    /// The replica can serve, but has not answered the last pings, or its socket is full.
    case slow
    case good
}

/// Chooses a replica for each call, and keeps track of the replicas that exist. Decides; performs
/// nothing.
///
/// `Connection` is what calls are made on; tests use numbers.
struct Balancer<Connection> {
    typealias Instant = ContinuousClock.Instant

    /// The right to make one call on a connection. To be given back with `release`.
    struct Lease {
        let connectionID: Int
        let socket: SocketFile
        let connection: Connection
    }

    /// A call that waited has its replica.
    struct Resumption {
        let waiter: Int
        let lease: Lease
    }

    private enum Phase {
        case waiting(until: Instant)
        case connecting
        case connected
    }

    private struct Replica {
        var phase = Phase.connecting
        var failures = 0
        var isListed = true
    }

    private struct Link {
        let id: Int
        let socket: SocketFile
        let connection: Connection
        var status: ServiceStatus
        /// When the last ping was sent that was answered: the status is as old as that.
        var askedAt: Instant
        var callsInFlight = 0
        var isTakingCalls = true
        var isWritable = true
    }

    /// Reported for a connection whose last status is too old. Always the same text, so that it is
    /// logged once.
    static var silentStatus: ServiceStatus { .notReady("has not answered lately") }

    private let silentAfter: Duration
    private let statusMaximumAge: Duration
    /// The pauses after attempts to connect; each replica counts its own failures.
    private let backoff: Backoff
    private let maximumWaiters: Int
    private var replicas: [SocketFile: Replica] = [:]
    /// Few: a list is quicker than a dictionary, and has an order.
    private var links: [Link] = []
    private var waiters = WaitList<Void>()
    private var lastID = 0
    private var turn = 0

    init(limits: RPCLimits) {
        silentAfter = limits.silentAfter
        statusMaximumAge = limits.statusMaximumAge
        backoff = Backoff(
            first: limits.minimumBackoff, longest: limits.maximumBackoff, steadyShare: 0.5)
        maximumWaiters = limits.maximumWaitingCalls
    }

    /// Whether a call made now would find a replica at once that can serve it.
    func isReady(now: Instant) -> Bool { grade(now: now).map { $0 > .notReady } ?? false }
    /// Whether a call made now would find a replica at once.
    var hasReplica: Bool { links.contains { $0.isTakingCalls } }
    /// How the replicas are that take calls.
    func statuses(now: Instant) -> [(socket: SocketFile, status: ServiceStatus)] {
        links.filter(\.isTakingCalls).map { link in
            (link.socket, isStale(link, now: now) ? Self.silentStatus : link.status)
        }
    }
    /// The replicas that take calls.
    var callable: Set<SocketFile> { Set(links.filter(\.isTakingCalls).map(\.socket)) }
    var waitingCalls: Int { waiters.count }
    var callsInFlight: Int { links.reduce(0) { $0 + $1.callsInFlight } }
    /// Sockets that are known, connected or not.
    var knownSockets: Set<SocketFile> { Set(replicas.keys) }

    /// Attempts at a replica that failed in a row.
    func failures(of name: String) -> Int {
        replicas.filter { $0.key.replica == name }.map(\.value.failures).max() ?? 0
    }

    private mutating func makeID() -> Int {
        lastID += 1
        return lastID
    }
}

// MARK: - Replicas

extension Balancer {
    /// The directory was read. Forgets what is gone and not connected.
    ///
    /// - Returns: the sockets to connect to: what is new, or has waited long enough.
    mutating func directory(_ sockets: [SocketFile], now: Instant) -> [SocketFile] {
        let listed = Set(sockets)
        for (socket, replica) in replicas {
            if listed.contains(socket) {
                replicas[socket]?.isListed = true
            } else if case .waiting = replica.phase {
                replicas[socket] = nil
            } else {
                replicas[socket]?.isListed = false
            }
        }
        return sockets.filter { socket in
            if let replica = replicas[socket] {
                guard case .waiting(let until) = replica.phase, until <= now else { return false }
            }
            replicas[socket, default: Replica()].phase = .connecting
            return true
        }
    }

    /// A connection is open and its server has answered on it.
    ///
    /// - Parameter asked: when the ping was sent that it has answered.
    mutating func connected(
        _ socket: SocketFile, _ connection: Connection, status: ServiceStatus = .ready,
        asked: Instant, now: Instant
    ) -> (id: Int, resumed: [Resumption]) {
        let id = makeID()
        links.append(
            Link(
                id: id, socket: socket, connection: connection, status: status, askedAt: asked))
        replicas[socket, default: Replica()].phase = .connected
        replicas[socket]?.failures = 0
        return (id, resumeWaiters(now: now))
    }

    /// The server told how it is.
    mutating func statusChanged(_ id: Int, _ status: ServiceStatus) {
        guard let index = index(id) else { return }
        links[index].status = status
    }

    /// The server answered the ping sent at `asked`; it told each change of its status before.
    mutating func confirmed(_ id: Int, asked: Instant) {
        guard let index = index(id) else { return }
        links[index].askedAt = asked
    }

    /// The socket has room for more, or has none.
    mutating func writabilityChanged(_ id: Int, _ isWritable: Bool) {
        guard let index = index(id) else { return }
        links[index].isWritable = isWritable
    }

    /// The server asked for no more calls.
    mutating func goAway(_ id: Int) {
        guard let index = index(id) else { return }
        links[index].isTakingCalls = false
    }

    /// A connection is over: no call goes to it any more, and those on it have failed or will.
    mutating func lost(_ id: Int) {
        links.removeAll { $0.id == id }
    }

    /// An attempt to connect has failed, or the connection it made has ended.
    ///
    /// - Parameter jitter: 0 to 1.
    mutating func ended(_ socket: SocketFile, failed: Bool, now: Instant, jitter: Double) {
        guard var replica = replicas[socket] else { return }
        guard replica.isListed else {
            replicas[socket] = nil
            return
        }
        replica.failures = failed ? replica.failures + 1 : 0
        replica.phase = .waiting(
            until: now + backoff.pause(afterFailures: replica.failures, jitter: jitter))
        replicas[socket] = replica
    }

    private func index(_ id: Int) -> Int? {
        links.firstIndex { $0.id == id }
    }
}

// MARK: - Grades

extension Balancer {
    /// Of the best connection that takes calls; nil when there is none.
    func grade(now: Instant) -> LinkGrade? {
        var best: LinkGrade?
        for link in links where link.isTakingCalls {
            let grade = grade(of: link, now: now)
            if best.map({ $0 < grade }) ?? true { best = grade }
        }
        return best
    }

    private func grade(of link: Link, now: Instant) -> LinkGrade {
        guard link.status.canServe, !isStale(link, now: now) else { return .notReady }
        return isResponsive(link, now: now) ? .good : .slow
    }

    private func isStale(_ link: Link, now: Instant) -> Bool {
        now - link.askedAt > statusMaximumAge
    }

    /// What is sent there is read soon, as far as this end can tell.
    private func isResponsive(_ link: Link, now: Instant) -> Bool {
        link.isWritable && now - link.askedAt < silentAfter
    }
}

// MARK: - Calls

extension Balancer {
    /// Of the connections with the best grade the one with the fewest calls in flight; equals take
    /// turns. If no replica can serve, one of them gets the call: it refuses with its own words. Nil
    /// when there is none.
    mutating func lease(now: Instant) -> Lease? {
        guard let wanted = grade(now: now) else { return nil }
        turn = (turn + 1) % links.count
        var best: Int?
        for offset in links.indices {
            let index = (turn + offset) % links.count
            guard links[index].isTakingCalls, grade(of: links[index], now: now) == wanted
            else { continue }
            if best.map({ links[index].callsInFlight < links[$0].callsInFlight }) ?? true {
                best = index
            }
        }
        return best.map { lease(at: $0) }
    }

    /// Each of these replicas that takes calls, once, whether it can serve or not.
    ///
    /// - Parameter responsive: only those that answer pings and whose sockets have room.
    mutating func leaseEach(
        of sockets: Set<SocketFile>, responsive: Bool, now: Instant
    ) -> [Lease] {
        var leases: [Lease] = []
        for (index, link) in links.enumerated()
        where link.isTakingCalls && sockets.contains(link.socket) {
            if !responsive || isResponsive(link, now: now) { leases.append(lease(at: index)) }
        }
        return leases
    }

    private mutating func lease(at index: Int) -> Lease {
        links[index].callsInFlight += 1
        return Lease(
            connectionID: links[index].id, socket: links[index].socket,
            connection: links[index].connection)
    }

    /// The call is over.
    mutating func release(_ connectionID: Int) {
        guard let index = index(connectionID) else { return }
        links[index].callsInFlight -= 1
    }

    /// Queues a call until there is a replica.
    ///
    /// - Returns: its place, or nil when too many wait already.
    mutating func wait() -> Int? {
        guard waiters.count < maximumWaiters else { return nil }
        let id = makeID()
        waiters.append(id, ())
        return id
    }

    /// - Returns: false when the waiter has been resumed already.
    mutating func stopWaiting(_ waiter: Int) -> Bool {
        waiters.remove(waiter)
    }

    private mutating func resumeWaiters(now: Instant) -> [Resumption] {
        var resumed: [Resumption] = []
        while !waiters.isEmpty, let lease = lease(now: now), let waiter = waiters.popFirst() {
            resumed.append(Resumption(waiter: waiter, lease: lease))
        }
        return resumed
    }
}

extension Balancer.Lease: Sendable where Connection: Sendable {}
extension Balancer.Resumption: Sendable where Connection: Sendable {}
