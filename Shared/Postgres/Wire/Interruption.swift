/// Decides how a running exchange is stopped: ask the server, ask again, give up and close.
struct Interruption {
    typealias Instant = ContinuousClock.Instant

    /// How long after a cancel request without effect another one is sent. A request that arrives
    /// between two commands of a pipeline has none.
    static let retryInterval = Duration.milliseconds(200)
    /// How long the server has to stop before the connection is closed, unless a configuration
    /// says otherwise.
    static let grace = Duration.seconds(2)

    enum Action: Equatable {
        case sendCancel
        case close
    }

    private let deadline: Instant?
    private let closesAtOnce: Bool
    private let grace: Duration
    private(set) var reason: PostgresError.Kind?
    private(set) var cancelInFlight = false
    private var retryAt: Instant?
    private var closeAt: Instant?

    /// - Parameter closesAtOnce: closing is the only way to interrupt.
    init(deadline: Instant?, closesAtOnce: Bool, grace: Duration = grace) {
        self.deadline = deadline
        self.closesAtOnce = closesAtOnce
        self.grace = grace
    }

    /// When ``tick(now:)`` has something to do next.
    var nextTick: Instant? {
        guard reason != nil else { return deadline }
        return [retryAt, closeAt].compactMap(\.self).min()
    }

    /// The caller no longer wants the answer. Only the first reason counts.
    mutating func interrupt(_ reason: PostgresError.Kind, now: Instant) -> Action? {
        guard self.reason == nil else { return nil }
        self.reason = reason
        if closesAtOnce { return .close }
        closeAt = now + grace
        cancelInFlight = true
        return .sendCancel
    }

    /// The cancel request has been delivered, or could not be.
    mutating func cancelReturned(now: Instant) {
        cancelInFlight = false
        retryAt = now + Self.retryInterval
    }

    mutating func tick(now: Instant) -> Action? {
        if reason == nil, let deadline, now >= deadline {
            return interrupt(.deadlineExceeded, now: now)
        }
        if let closeAt, now >= closeAt {
            return .close
        }
        if let retryAt, now >= retryAt {
            self.retryAt = nil
            cancelInFlight = true
            return .sendCancel
        }
        return nil
    }
}
