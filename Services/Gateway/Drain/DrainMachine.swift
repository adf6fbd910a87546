/// How the gateway goes down: who is refused, when the port closes, when the process may end. Decides; performs nothing.
///
/// ```
/// serving ── begin ──► draining ── nothing is owed ──► closing ── all closed, or time is up ──► over
///                      port open, 503 for what is new    port closed, connections are closed
/// ```
struct DrainMachine {
    typealias Instant = ContinuousClock.Instant

    /// Shortest time that the port stays open: a connection under way when the signal comes gets an answer
    /// instead of a reset.
    static let shortestOpen: Duration = .milliseconds(100)
    /// Shortest time for what waited for news: it reads its page, or says goodbye.
    static let waitingTime: Duration = .seconds(2)
    /// Time for an answer to leave once its request is refused or its deadline has passed.
    static let answerTime: Duration = .milliseconds(500)
    /// Time for clients to close their end once the gateway closes its own.
    static let closingTime: Duration = .milliseconds(400)

    /// What a request is doing, which decides what becomes of it in a drain.
    enum Activity: Hashable {
        /// Complete, and not answered yet: it has until its deadline.
        case working
        /// Its body is still coming: it is refused.
        case receiving
        /// It waits for news, as a long poll or a watch: it is answered at once.
        case waiting
    }

    enum Phase: Hashable {
        case serving
        case draining(since: Instant)
        case closing(since: Instant)
        case over
    }

    /// What the shell does next.
    enum Step: Hashable {
        /// Nothing, until something changes or this time has come.
        case wait(until: Instant?)
        /// Closes the port, and every connection in order.
        case close
        /// Cuts the connections that are left, and ends.
        case end
    }

    private struct Request {
        let deadline: Instant
        var activity = Activity.working
        /// In a drain: when it is owed nothing any more.
        var latest: Instant
    }

    /// Longest drain, whatever the deadlines are: the process has only so long.
    private let longest: Duration
    private(set) var phase = Phase.serving
    private var requests: [Int: Request] = [:]
    private var lastID = 0
    private var connections = 0

    init(longest: Duration) {
        self.longest = longest
    }

    var isDraining: Bool { phase != .serving }
    /// Requests that have come and whose answers have not left.
    var requestsInFlight: Int { requests.count }

    // MARK: - Requests and connections

    /// A request has come.
    ///
    /// - Returns: its number; nil refuses it.
    mutating func requestBegan(deadline: Instant) -> Int? {
        guard phase == .serving else { return nil }
        lastID += 1
        requests[lastID] = Request(deadline: deadline, latest: deadline)
        return lastID
    }

    /// A request goes on to something else.
    ///
    /// - Returns: false when a drain has begun: `receiving` and `waiting` are to be given up.
    mutating func goOn(_ id: Int, with activity: Activity, now: Instant) -> Bool {
        requests[id]?.activity = activity
        guard case .draining(let since) = phase else { return phase == .serving }
        limit(id, since: since, now: now)
        return false
    }

    /// The last byte of its answer has left, or nobody is there to take it.
    mutating func requestEnded(_ id: Int) {
        requests[id] = nil
    }

    mutating func connectionOpened() { connections += 1 }
    mutating func connectionClosed() { connections -= 1 }

    // MARK: - The way down

    /// The signal has come. A second one changes nothing.
    mutating func begin(now: Instant) {
        guard phase == .serving else { return }
        phase = .draining(since: now)
        for id in requests.keys { limit(id, since: now, now: now) }
    }

    private mutating func limit(_ id: Int, since: Instant, now: Instant) {
        guard var request = requests[id] else { return }
        let latest =
            switch request.activity {
            case .working: max(request.deadline, now) + Self.answerTime
            case .receiving: now + Self.answerTime
            case .waiting: now + Self.waitingTime
            }
        request.latest = min(latest, since + longest)
        requests[id] = request
    }

    mutating func step(now: Instant) -> Step {
        switch phase {
        case .serving: return .wait(until: nil)
        case .draining(let since):
            // A client that has not read its answer by now does not delay the restart.
            requests = requests.filter { $0.value.latest > now }
            let open = since + Self.shortestOpen
            if let latest = requests.values.map(\.latest).max() {
                return .wait(until: max(latest, open))
            }
            guard now >= open else { return .wait(until: open) }
            phase = .closing(since: now)
            return .close
        case .closing(let since):
            let end = since + Self.closingTime
            guard connections > 0, now < end else {
                phase = .over
                return .end
            }
            return .wait(until: end)
        case .over: return .end
        }
    }
}
