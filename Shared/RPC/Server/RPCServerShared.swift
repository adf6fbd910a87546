import NIOCore
import Synchronization

/// What all connections of a server share.
final class RPCServerShared: Sendable {
    let router: RPCRouter
    let limits: RPCLimits
    let events: RPCEventSink
    let hello: RPCHello
    let callsInFlight = CallGauge()
    private let currentStatus: (@Sendable () -> ServiceStatus)?
    private let onDrain: @Sendable () -> Void
    private let isDraining = Mutex(false)
    private let audience: Mutex<Audience>

    /// Who receives the server's status when it changes.
    private struct Audience {
        var status: ServiceStatus
        var connections: [ObjectIdentifier: NIOLoopBound<RPCServerHandler>] = [:]
    }

    init(
        router: RPCRouter, limits: RPCLimits, events: RPCEventSink, hello: RPCHello,
        status: ServiceStatus, currentStatus: (@Sendable () -> ServiceStatus)? = nil,
        onDrain: @escaping @Sendable () -> Void = {}
    ) {
        self.router = router
        self.limits = limits
        self.events = events
        self.hello = hello
        self.currentStatus = currentStatus
        self.onDrain = onDrain
        audience = Mutex(Audience(status: status))
    }

    /// How the server is now. Asked outside the lock: who publishes may hold a lock of their own.
    var status: ServiceStatus { currentStatus?() ?? audience.withLock { $0.status } }

    /// A connection has begun.
    func add(_ connection: NIOLoopBound<RPCServerHandler>) {
        audience.withLock { $0.connections[ObjectIdentifier(connection.value)] = connection }
    }

    /// A connection is over. Nothing happens if it never began.
    func remove(_ connection: RPCServerHandler) {
        audience.withLock { $0.connections[ObjectIdentifier(connection)] = nil }
    }

    func publish(_ status: ServiceStatus) {
        let told = audience.withLock { audience in
            audience.status = status
            return Array(audience.connections.values)
        }
        for connection in told {
            connection.eventLoop.execute { connection.value.tellStatus() }
        }
    }

    /// Lets the service know before any client does. Returns once it knows.
    func beginDrain() {
        isDraining.withLock { isDraining in
            guard !isDraining else { return }
            isDraining = true
            events(.draining(callsInFlight: callsInFlight.value))
            onDrain()
        }
    }
}

/// Counts the calls of a server, over all its connections.
final class CallGauge: Sendable {
    private let count = Atomic(0)

    var value: Int { count.load(ordering: .relaxed) }

    /// - Returns: false, and nothing changed, when the limit is reached.
    func enter(limit: Int) -> Bool {
        let (old, _) = count.add(1, ordering: .relaxed)
        guard old < limit else {
            leave()
            return false
        }
        return true
    }

    func leave() {
        count.subtract(1, ordering: .relaxed)
    }
}
