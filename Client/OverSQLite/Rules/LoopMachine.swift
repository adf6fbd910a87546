/// Decides what the background loop does next. Times are seconds since 1970.
struct LoopMachine {
    enum Step: Hashable {
        case fetch
        case send
        /// Open the watch stream beside the loop.
        case watch
        /// Wait for a signal, for the time, or, if `poll` is set, for news from the gateway.
        case wait(until: Double?, poll: Bool)
    }

    let pollInterval: Double
    /// Whether to ask the gateway to hold requests; off for a while if it turns out not to.
    private(set) var canPoll: Bool
    /// The watch stream, which makes polling needless while it lasts.
    private(set) var watch: WatchRules
    private var backoff: Backoff
    private var isPaused = false
    private var isBlocked = false
    private var mustSend = true
    private var fetchAt: Double? = 0
    private var notBefore = 0.0
    /// When the times above were set. A clock that shows less was set back, and they mean nothing.
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

    /// Fetching comes first: what is then sent has met the server's rows already.
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

    /// What the stream has to say.
    mutating func heard(_ report: WatchReport, now: Double, jitter: Double) {
        watch.heard(report, now: now, jitter: jitter)
        setAt = now
        switch report {
        case .opened: if let at = fetchAt, at > now { fetchAt = nil }
        case .news: fetchAt = now
        // Nobody would look any more.
        case .ended: if fetchAt == nil, !canPoll { fetchAt = now }
        }
    }

    /// Whether a stream is open that must not be: paused means no traffic at all.
    var mustEndWatch: Bool { (isPaused || isBlocked) && watch.covers }

    /// - Parameter retryAt: when the next refused row is due.
    mutating func sent(retryAt: Double?) {
        backoff.succeeded()
        mustSend = false
        self.retryAt = retryAt
    }

    /// A held request came back.
    ///
    /// - Parameter early: it was answered with nothing long before its time, so the gateway does
    ///   not hold requests: from now on it is polled, lest the loop spins (hazard H12).
    mutating func polled(hasNews: Bool, early: Bool, now: Double) {
        if hasNews {
            fetchAt = now
        } else if early {
            canPoll = false
            fetchAt = now + pollInterval
        }
        setAt = now
    }

    /// - Returns: the time of the next try; nil if there will be none until something is done.
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

    /// The app asks for a try now: new credentials, or the network is back.
    mutating func nudged() {
        isBlocked = false
        notBefore = 0
        fetchAt = 0
        mustSend = true
    }
}
