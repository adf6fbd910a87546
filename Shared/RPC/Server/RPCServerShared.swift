import Synchronization

/// What all connections of a server share.
final class RPCServerShared: Sendable {
    let router: RPCRouter
    let limits: RPCLimits
    let events: RPCEventSink
    let callsInFlight = CallGauge()

    init(router: RPCRouter, limits: RPCLimits, events: RPCEventSink) {
        self.router = router
        self.limits = limits
        self.events = events
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
