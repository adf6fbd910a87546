import DatabaseKit

/// How long a standby is tried for one request: so that the primary, if it is to answer, has half
/// of the request's time for that. A value without a clock.
struct StandbyTime: Hashable, Sendable {
    typealias Instant = ContinuousClock.Instant

    /// Longest time of a page on a standby.
    static let pageLimit: Duration = .seconds(3)
    /// Longest wait for a turn, to read a page there or a state on the primary.
    static let turnLimit: Duration = .seconds(1)
    /// With less time for a page no standby is asked.
    static let leastForPage: Duration = .milliseconds(100)
    /// A page that had less time than this and was late says nothing of the standby.
    static let fairForPage: Duration = .seconds(1)

    /// A standby that does not stop in time costs its grace after this.
    private let end: Instant

    init(from start: Instant, to deadline: Instant) {
        end = start + (deadline - start) / 2 - StandbyDatabase.grace
    }

    /// When a page that begins now is to end; nil if too little time is left.
    func pageEnd(at now: Instant) -> Instant? {
        end - now < Self.leastForPage ? nil : min(end, now + Self.pageLimit)
    }

    /// When a wait that begins now is to end.
    func turnEnd(at now: Instant) -> Instant {
        min(end - Self.leastForPage, now + Self.turnLimit)
    }
}
