/// Whether the server behind a connection is alive, as its client sees it. Decides; performs
/// nothing.
///
/// Pings all the time, with and without calls in flight: what a client believes of a server is as
/// old as the last ping that was answered. Calls do not touch this clock, so a stream of short ones
/// cannot hide a server that is frozen. At most one ping is unanswered.
struct Pulse {
    typealias Instant = ContinuousClock.Instant

    /// What is to be done after a look at the clock.
    enum Action: Hashable {
        case ping
        /// The server is not there any more, whatever the socket says.
        case eject
    }

    private let pingInterval: Duration
    private let ejectAfter: Duration
    /// When something was last heard, or when this process was last held up itself.
    private var heardAt: Instant
    private var pingedAt: Instant
    private var awaitsPong = true
    private var lastLook: Instant

    /// - Parameter now: when the first ping goes out.
    init(limits: RPCLimits, now: Instant) {
        pingInterval = limits.pingInterval
        ejectAfter = limits.ejectAfter
        heardAt = now
        pingedAt = now
        lastLook = now
    }

    /// Any byte is a sign of life: a large answer may be in the way of a PONG.
    mutating func heard(now: Instant) {
        heardAt = now
    }

    /// The ping was answered.
    ///
    /// - Returns: when it was sent. What the server says of itself is not older than that, however
    ///   long the answer lay in the socket.
    mutating func ponged() -> Instant {
        awaitsPong = false
        return pingedAt
    }

    /// Looks at the clock. Called no later than `nextLook` says.
    mutating func look(now: Instant) -> Action? {
        defer { lastLook = now }
        // This process itself was held up: that silence says nothing about the server.
        if now - lastLook >= pingInterval * 2 { heardAt = now }
        if awaitsPong { return now - heardAt >= ejectAfter ? .eject : nil }
        guard now - pingedAt >= pingInterval else { return nil }
        pingedAt = now
        awaitsPong = true
        return .ping
    }

    /// When to look again after a look at `now`.
    func nextLook(after now: Instant) -> Instant {
        max(pingedAt + pingInterval, now + RPCLimits.latePongInterval)
    }
}
