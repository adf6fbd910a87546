/// Chooses a replica for each call, and keeps track of which there are. Decides; performs nothing.
///
/// `Connection` is what calls are made on; tests use numbers.
struct Balancer<Connection> {
    typealias Instant = ContinuousClock.Instant

    /// The right to make one call on a connection. To be given back with `release`.
    struct Lease {
        let connectionID: Int
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
        var callsInFlight = 0
        var isTakingCalls = true
    }

    private let minimumBackoff: Duration
    private let maximumBackoff: Duration
    private let maximumWaiters: Int
    private var replicas: [SocketFile: Replica] = [:]
    /// Few: a list is quicker than a dictionary, and has an order.
    private var links: [Link] = []
    private var waiters: [Int] = []
    private var lastID = 0
    private var turn = 0

    init(limits: RPCLimits) {
        minimumBackoff = limits.minimumBackoff
        maximumBackoff = limits.maximumBackoff
        maximumWaiters = limits.maximumWaitingCalls
    }

    /// Whether a call made now would find a replica at once that can serve it.
    var isReady: Bool { links.contains { $0.isTakingCalls && $0.status.canServe } }
    /// Whether a call made now would find a replica at once.
    var hasReplica: Bool { links.contains { $0.isTakingCalls } }
    /// How the replicas are that take calls.
    var statuses: [(socket: SocketFile, status: ServiceStatus)] {
        links.filter(\.isTakingCalls).map { ($0.socket, $0.status) }
    }
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
    mutating func connected(
        _ socket: SocketFile, _ connection: Connection, status: ServiceStatus = .ready
    ) -> (id: Int, resumed: [Resumption]) {
        let id = makeID()
        links.append(Link(id: id, socket: socket, connection: connection, status: status))
        replicas[socket, default: Replica()].phase = .connected
        replicas[socket]?.failures = 0
        return (id, resumeWaiters())
    }

    /// The server told how it is.
    mutating func statusChanged(_ id: Int, _ status: ServiceStatus) {
        guard let index = index(id) else { return }
        links[index].status = status
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
        replica.phase = .waiting(until: now + backoff(replica.failures, jitter: jitter))
        replicas[socket] = replica
    }

    private func backoff(_ failures: Int, jitter: Double) -> Duration {
        let doubled = minimumBackoff * (1 << min(failures, 16))
        return min(doubled, maximumBackoff) * (0.5 + jitter / 2)
    }

    private func index(_ id: Int) -> Int? {
        links.firstIndex { $0.id == id }
    }
}

// MARK: - Calls

extension Balancer {
    /// Of the replicas that can serve the one with the fewest calls in flight; equals take turns. If none can serve,
    /// one of the others: it refuses with its own words. Nil when there is none.
    mutating func lease() -> Lease? {
        guard !links.isEmpty else { return nil }
        turn = (turn + 1) % links.count
        let needsReady = isReady
        var best: Int?
        for offset in links.indices {
            let index = (turn + offset) % links.count
            guard links[index].isTakingCalls, !needsReady || links[index].status.canServe
            else { continue }
            if best.map({ links[index].callsInFlight < links[$0].callsInFlight }) ?? true {
                best = index
            }
        }
        guard let best else { return nil }
        links[best].callsInFlight += 1
        return Lease(connectionID: links[best].id, connection: links[best].connection)
    }

    /// Every replica that takes calls, once.
    mutating func leaseAll() -> [Lease] {
        var leases: [Lease] = []
        for index in links.indices where links[index].isTakingCalls {
            links[index].callsInFlight += 1
            leases.append(
                Lease(connectionID: links[index].id, connection: links[index].connection))
        }
        return leases
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
        waiters.append(id)
        return id
    }

    /// - Returns: false when the waiter has been resumed already.
    mutating func stopWaiting(_ waiter: Int) -> Bool {
        guard let index = waiters.firstIndex(of: waiter) else { return false }
        waiters.remove(at: index)
        return true
    }

    private mutating func resumeWaiters() -> [Resumption] {
        var resumed: [Resumption] = []
        for waiter in waiters {
            guard let lease = lease() else { break }
            resumed.append(Resumption(waiter: waiter, lease: lease))
        }
        waiters.removeFirst(resumed.count)
        return resumed
    }
}

extension Balancer.Lease: Sendable where Connection: Sendable {}
extension Balancer.Resumption: Sendable where Connection: Sendable {}
