/// Decides when a replica asks the database for its users' last sequences: seldom for all users, often while
/// somebody waits for news, and never for more than a small part of the time.
struct HeadsPace: Hashable, Sendable {
    typealias Instant = ContinuousClock.Instant

    /// Time between two readings of all users that are followed: the most that a commit goes unnoticed.
    static let pollInterval: Duration = .milliseconds(500)
    /// Time between two looks at whether anything was written, while somebody waits.
    static let probeInterval: Duration = .milliseconds(50)
    /// Time from the end of one question to the next, at the least, in durations of the last one. A replica with many
    /// users that wait on a busy database thus takes no more than a tenth of one connection's time.
    static let pausePerWork = 9

    /// What to do next.
    enum Step: Hashable, Sendable {
        /// Look whether anything was written, and ask for the users that are waited for if so.
        case probe
        /// Ask for all users.
        case poll
    }

    private var nextProbe: Instant?
    private var nextPoll: Instant?

    /// - Parameter isWaiting: whether anybody waits for news.
    /// - Returns: nil: nothing yet.
    func step(at now: Instant, isWaiting: Bool) -> Step? {
        if nextPoll.map({ now >= $0 }) ?? true { return .poll }
        return isWaiting && (nextProbe.map { now >= $0 } ?? true) ? .probe : nil
    }

    /// How long nothing is to be done. Whoever begins to wait meanwhile is noticed after `probeInterval`.
    func pause(at now: Instant, isWaiting: Bool) -> Duration {
        let due =
            [nextPoll ?? now, isWaiting ? nextProbe ?? now : nil].compactMap { $0 }.min() ?? now
        return min(max(due - now, .zero), Self.probeInterval)
    }

    /// A step has ended.
    mutating func took(_ step: Step, from start: Instant, to end: Instant, succeeded: Bool) {
        let rest = end + (end - start) * Self.pausePerWork
        // A database that does not answer is left alone for as long as if nobody waited.
        nextProbe = max(start + (succeeded ? Self.probeInterval : Self.pollInterval), rest)
        if step == .poll { nextPoll = end + Self.pollInterval }
    }
}
