/// The calls in flight on one connection, as its client sees them. Decides; performs nothing.
struct ClientCalls {
    private(set) var deadlines: [UInt32: ContinuousClock.Instant] = [:]
    /// No deadline is before it: thousands of calls that wait for long are not looked at in every sweep.
    private var earliestDeadline: ContinuousClock.Instant?
    /// The server wants no more calls here.
    private(set) var isGoingAway = false

    /// A connection that the server gave up is closed with its last call.
    var isDone: Bool { isGoingAway && deadlines.isEmpty }

    mutating func begin(_ id: UInt32, deadline: ContinuousClock.Instant) {
        deadlines[id] = deadline
        earliestDeadline = min(earliestDeadline ?? deadline, deadline)
    }

    /// The call is over: answered, or nobody waits any more.
    ///
    /// - Returns: false when it was over already.
    mutating func end(_ id: UInt32) -> Bool {
        deadlines.removeValue(forKey: id) != nil
    }

    mutating func goAway() {
        isGoingAway = true
    }

    /// Ends the calls whose time is up. Called about every `RPCLimits.sweepInterval` while calls are
    /// in flight.
    ///
    /// - Returns: the calls to fail; the server must be told about them.
    mutating func expire(now: ContinuousClock.Instant) -> [UInt32] {
        guard let earliestDeadline, earliestDeadline <= now else { return [] }
        let expired = deadlines.filter { $0.value <= now }.map(\.key).sorted()
        for id in expired { deadlines[id] = nil }
        self.earliestDeadline = deadlines.values.min()
        return expired
    }
}
