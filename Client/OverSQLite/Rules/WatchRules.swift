/// What the watch stream tells the loop.
enum WatchReport: Hashable, Sendable {
    case opened
    /// The log has grown, or has been replaced.
    case news
    case ended(WatchEnd)
}

/// Why a watch stream ended.
enum WatchEnd: Hashable, Sendable {
    /// The server does not offer it.
    case unsupported
    /// It broke, was refused, or was silent for too long.
    case broken(retryAfter: Int?)
    /// The loop ended it.
    case halted
}

/// Decides when the watch stream is opened. Times are seconds since 1970.
struct WatchRules {
    /// Seconds before a broken stream is reopened. Meanwhile the loop uses long polling.
    static let backoff = 1.0...300.0
    /// Seconds after which an open stream has proved to work, so that the backoff starts over.
    static let proof = 60.0

    private enum State: Hashable {
        case impossible
        case wanted(from: Double)
        case opening
        case open(since: Double)
    }

    private var state: State
    private var delays = Backoff(Self.backoff)

    init(isPossible: Bool) { state = isPossible ? .wanted(from: 0) : .impossible }

    /// Whether new changes are announced by the stream, now or as soon as it opens.
    var covers: Bool {
        switch state {
        case .opening, .open: true
        case .impossible, .wanted: false
        }
    }

    var dueAt: Double? {
        guard case .wanted(let from) = state else { return nil }
        return from
    }

    func isDue(now: Double) -> Bool { dueAt.map { $0 <= now } ?? false }

    mutating func clockSetBack(to now: Double) {
        switch state {
        case .wanted(let from): state = .wanted(from: min(from, now))
        case .open(let since): state = .open(since: min(since, now))
        case .impossible, .opening: break
        }
    }

    mutating func began() { state = .opening }

    mutating func heard(_ report: WatchReport, now: Double, jitter: Double) {
        switch report {
        case .opened: state = .open(since: now)
        case .news: break
        case .ended(.unsupported): state = .impossible
        case .ended(.halted): state = .wanted(from: now)
        case .ended(.broken(let retryAfter)):
            if case .open(let since) = state, now - since >= Self.proof { delays.succeeded() }
            state = .wanted(from: now + delays.failed(jitter: jitter, retryAfter: retryAfter))
        }
    }
}
