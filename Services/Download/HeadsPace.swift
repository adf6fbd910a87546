/// Decides when a replica asks the database for its users' last sequences: seldom for all users, often while
/// somebody waits for news, and never for more than a small part of the time.
struct HeadsPace: Hashable, Sendable {
    typealias Instant = ContinuousClock.Instant

    /// Time between two readings of all users that are followed: the most that a commit goes unnoticed.
    static let pollInterval: Duration = .milliseconds(500)
    /// Time between two looks at whether anything was written, while somebody waits.
    static let probeInterval: Duration = .milliseconds(50)
    /// Time from the end of one reading to the next question, at the least, in durations of such a reading. A replica with
    /// many users that wait on a busy database thus takes no more than a tenth of one connection's time.
    static let pausePerReading = 9

    /// What to do next.
    enum Step: Hashable, Sendable {
        /// Look whether anything was written, and ask for the users that are waited for if so.
        case probe
        /// Ask for all users.
        case poll
    }

    /// What came of a step.
    enum Outcome: Hashable, Sendable {
        /// Nothing was written: no user was asked for.
        case quiet
        /// Users were asked for.
        case read
        case failed
    }

    private var lastReading: Duration = .zero
    private var nextProbe: Instant?
    private var nextPoll: Instant?

    /// - Parameter isWaiting: whether anybody waits for news.
    /// - Returns: nil: nothing yet.
    func step(at now: Instant, isWaiting: Bool) -> Step? {
        if nextPoll.map({ now >= $0 }) ?? true { return .poll }
        return isWaiting && (nextProbe.map { now >= $0 } ?? true) ? .probe : nil
    }

    /// How long nothing is to be done, if nobody begins to wait meanwhile.
    func pause(at now: Instant, isWaiting: Bool) -> Duration {
        let poll = nextPoll ?? now
        return max((isWaiting ? min(nextProbe ?? now, poll) : poll) - now, .zero)
    }

    /// A step has ended.
    mutating func took(_ step: Step, from start: Instant, to end: Instant, _ outcome: Outcome) {
        let work = end - start
        nextProbe = max(start + Self.probeInterval, end + work)
        switch outcome {
        case .quiet: break
        case .read:
            // The shorter of two: one that was held up by chance slows nothing down, load does.
            nextProbe = max(
                start + Self.probeInterval, end + min(work, lastReading) * Self.pausePerReading)
            lastReading = work
        // A database that does not answer is left alone for as long as if nobody waited.
        case .failed: nextProbe = max(start + Self.pollInterval, end + work)
        }
        if step == .poll { nextPoll = end + Self.pollInterval }
    }
}
