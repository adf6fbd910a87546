/// Decides what the background loop does next. Times are seconds since 1970.
struct LoopMachine {
    enum Step: Hashable {
        case fetch
        case send
        /// Open the watch stream, in a task of its own.
        case watch
        /// Wait for a signal or until the given time. If `poll` is true, also wait for new changes
        /// with a held request.
        case wait(until: Double?, poll: Bool)
    }

    let pollInterval: Double
    /// Whether to ask the gateway to hold requests. Set to false if the gateway turns out not to.
    private(set) var canPoll: Bool
    /// The watch stream. While it is open, no polling is needed.
    private(set) var watch: WatchRules
    private var backoff: Backoff
    private var isPaused = false
    private var isBlocked = false
    private var mustSend = true
    private var fetchAt: Double? = 0
    private var notBefore = 0.0
    /// When the times above were set. If the clock shows less, it was set back and the times are
    /// void.
    private var setAt = 0.0
    private var retryAt: Double?

    init(
        pollInterval: Double, canPoll: Bool, canWatch: Bool = false, backoff: ClosedRange<Double>
    ) {
        watch = WatchRules(isPossible: canWatch)
        self.pollInterval = pollInterval
        self.canPoll = canPoll
        self.backoff = Backoff(backoff)
    }

    /// Fetching comes first, so that conflicts are found before anything is sent.
    mutating func next(now: Double) -> Step {
        if now < setAt { clockSetBack(to: now) }
        if isPaused || isBlocked { return .wait(until: nil, poll: false) }
        if now < notBefore { return .wait(until: notBefore, poll: false) }
        if let fetchAt, fetchAt <= now { return .fetch }
        if mustSend || retryAt.map({ $0 <= now }) == true { return .send }
        if watch.isDue(now: now) { return .watch }
        return .wait(
            until: [fetchAt, retryAt, watch.dueAt].compactMap { $0 }.min(),
            poll: canPoll && !watch.covers)
    }

    private mutating func clockSetBack(to now: Double) {
        setAt = now
        notBefore = now
        fetchAt = fetchAt.map { min($0, now) }
        retryAt = retryAt.map { min($0, now) }
        watch.clockSetBack(to: now)
    }

    mutating func localChange() {
        mustSend = true
    }

    mutating func fetched(now: Double) {
        backoff.succeeded()
        fetchAt = canPoll || watch.covers ? nil : now + pollInterval
        setAt = now
    }

    mutating func watchBegan() { watch.began() }

    /// Handles a report of the watch stream.
    mutating func heard(_ report: WatchReport, now: Double, jitter: Double) {
        watch.heard(report, now: now, jitter: jitter)
        setAt = now
        switch report {
        case .opened: if let at = fetchAt, at > now { fetchAt = nil }
        case .news: fetchAt = now
        // Without this, nothing would look for new changes any more.
        case .ended: if fetchAt == nil, !canPoll { fetchAt = now }
        }
    }

    /// Whether a stream is open that must be closed: paused means no traffic at all.
    var mustEndWatch: Bool { (isPaused || isBlocked) && watch.covers }

    /// - Parameter retryAt: when the next rejected row is due.
    mutating func sent(retryAt: Double?) {
        backoff.succeeded()
        mustSend = false
        self.retryAt = retryAt
    }

    /// Handles the answer to a held request.
    ///
    /// - Parameter early: whether an empty answer came long before the wait was over. Then the
    ///   gateway does not hold requests, and the loop polls at intervals, so that it does not spin
    ///   (hazard H12).
    mutating func polled(hasNews: Bool, early: Bool, now: Double) {
        if hasNews {
            fetchAt = now
        } else if early {
            canPoll = false
            fetchAt = now + pollInterval
        }
        setAt = now
    }

    /// - Returns: the time of the next try; nil if the loop waits for the app to act.
    mutating func failed(_ error: SyncError, now: Double, jitter: Double) -> Double? {
        guard error.retriesByItself else {
            isBlocked = true
            return nil
        }
        var retryAfter: Int?
        if case .busy(let seconds) = error { retryAfter = seconds }
        setAt = now
        notBefore = now + backoff.failed(jitter: jitter, retryAfter: retryAfter)
        fetchAt = fetchAt.map { min($0, notBefore) } ?? notBefore
        return notBefore
    }

    mutating func paused(_ isPaused: Bool) {
        let isResumed = self.isPaused && !isPaused
        self.isPaused = isPaused
        if isResumed { nudged() }
    }

    /// The app asks to try again now: it has new credentials, or the network is back.
    mutating func nudged() {
        isBlocked = false
        notBefore = 0
        fetchAt = 0
        mustSend = true
    }
}
