import Protos

/// The calls in flight on one connection, and whether the server behind it is alive, as its client
/// sees them. Decides; performs nothing.
struct ClientCalls {
    /// What is to be done after a tick.
    enum TickAction: Hashable {
        /// The deadline of a call passed: fail it and tell the server.
        case expire(UInt32)
        case ping
        /// The server is not there any more, whatever the socket says.
        case eject
    }

    private let pingAfter: Duration
    private let ejectAfter: Duration
    private(set) var deadlines: [UInt32: ContinuousClock.Instant] = [:]
    /// No deadline is before it: thousands of calls that wait for long are not looked at in every tick.
    private var earliestDeadline: ContinuousClock.Instant?
    /// When something was last heard, or when the first call went out after none was in flight.
    private var quietSince: ContinuousClock.Instant
    private var hasPinged = false
    private var lastTick: ContinuousClock.Instant
    /// The server wants no more calls here.
    private(set) var isGoingAway = false

    init(limits: RPCLimits, now: ContinuousClock.Instant) {
        pingAfter = limits.pingAfter
        ejectAfter = limits.ejectAfter
        quietSince = now
        lastTick = now
    }

    /// A connection that the server gave up is closed with its last call.
    var isDone: Bool { isGoingAway && deadlines.isEmpty }

    mutating func begin(
        _ id: UInt32, deadline: ContinuousClock.Instant, now: ContinuousClock.Instant
    ) {
        if deadlines.isEmpty {
            quietSince = now
            lastTick = now
            hasPinged = false
        }
        deadlines[id] = deadline
        earliestDeadline = min(earliestDeadline ?? deadline, deadline)
    }

    /// The call is over: answered, or nobody waits any more.
    ///
    /// - Returns: false when it was over already.
    mutating func end(_ id: UInt32) -> Bool {
        deadlines.removeValue(forKey: id) != nil
    }

    /// Any byte is a sign of life: a large answer may be in the way of a pong.
    mutating func heard(now: ContinuousClock.Instant) {
        quietSince = now
        hasPinged = false
    }

    mutating func goAway() {
        isGoingAway = true
    }

    /// Looks at the clock. Called about every `RPCLimits.sweepInterval` while calls are in flight.
    mutating func tick(now: ContinuousClock.Instant) -> [TickAction] {
        defer { lastTick = now }
        let expired = expire(now: now)
        var actions = expired.map(TickAction.expire)
        guard !deadlines.isEmpty || !expired.isEmpty else { return actions }
        if now - lastTick >= pingAfter {
            // This process itself was held up: that silence says nothing about the server.
            quietSince = now
            hasPinged = false
        }
        let quiet = now - quietSince
        if quiet >= ejectAfter, hasPinged {
            actions.append(.eject)
        } else if quiet >= pingAfter, !hasPinged {
            hasPinged = true
            actions.append(.ping)
        }
        return actions
    }

    private mutating func expire(now: ContinuousClock.Instant) -> [UInt32] {
        guard let earliestDeadline, earliestDeadline <= now else { return [] }
        let expired = deadlines.filter { $0.value <= now }.map(\.key).sorted()
        for id in expired { deadlines[id] = nil }
        self.earliestDeadline = deadlines.values.min()
        return expired
    }
}
