import RPC
import Telemetry
import Waiting

/// What one watch has heard and has not told its device yet. Decides; performs nothing.
///
/// A device that reads events slowly gets only the newest one, which says all that those before it said.
struct WatchWords: Hashable, Sendable {
    /// The pauses before another replica is asked.
    private static let backoff = Backoff(
        first: .milliseconds(100), longest: .seconds(5), steadyShare: 0.5)

    /// How a watch began.
    enum Opening: Hashable, Sendable {
        case open
        case refused(RPCFailure)
    }

    /// How the stream from a replica stands.
    private enum Feed: Hashable {
        case beginning
        /// It ended before its caller heard that it began.
        case endedEarly
        case running
    }

    /// The last sequence that a replica announced; before the first, the device's own.
    private(set) var head: Int64
    private(set) var opening: Opening?
    private(set) var isOver = false
    private var told: Int64
    private var isCommentDue = false
    /// How long the device is to wait before it comes back; told as the last word.
    private var goodbye: Duration?
    private var feed = Feed.beginning
    private var backoff = Self.backoff

    /// - Parameter after: what the device has: news is what differs from it.
    init(after: Int64) {
        head = after
        told = after
    }

    /// A replica has announced the last sequence.
    mutating func hear(_ head: Int64) {
        self.head = head
        opening = opening ?? .open
        backoff.reset()
    }

    /// It is time for a sign of life.
    ///
    /// - Returns: whether there is any: a replica has spoken.
    mutating func comment() -> Bool {
        isCommentDue = true
        return opening != nil
    }

    /// The stream from a replica has begun.
    ///
    /// - Returns: whether another one is to be asked, as it has ended already.
    mutating func began() -> Bool {
        defer { feed = .running }
        return feed == .endedEarly
    }

    /// The stream from a replica has ended or could not begin.
    ///
    /// - Returns: whether another one is to be asked.
    mutating func lost(_ failure: RPCFailure?) -> Bool {
        if opening == nil, failure?.code != RPCFailure.draining.code {
            opening = .refused(failure ?? .unavailable())
            isOver = true
        } else if let failure, failure.status != .unavailable {
            isOver = true  // The device may watch no more, or its time is up.
        }
        guard !isOver else { return false }
        defer { if feed == .beginning { feed = .endedEarly } }
        return feed == .running
    }

    /// How long to wait before another replica is asked, which begins now.
    ///
    /// - Parameter jitter: from 0 to 1: the watchers of a lost replica must not all come back at
    ///   once.
    mutating func takePause(jitter: Double) -> Duration {
        feed = .beginning
        return backoff.fail(jitter: jitter)
    }

    /// Nothing is to come any more; what was heard is still told.
    ///
    /// - Parameter failure: how a watch is refused that has not begun.
    mutating func end(_ failure: RPCFailure = .cancelled) {
        isOver = true
        opening = opening ?? .refused(failure)
    }

    /// The gateway goes down.
    ///
    /// - Parameter pause: how long the device is to wait before it comes back.
    mutating func sayGoodbye(pause: Duration) {
        if !isOver { goodbye = pause }
        end(.draining)
    }

    /// Takes out what is to be told next; nil when there is nothing now.
    mutating func next() -> WatchEvent? {
        if head != told {
            told = head
            return .head(head)
        }
        if isCommentDue {
            isCommentDue = false
            return .comment
        }
        defer { goodbye = nil }
        return goodbye.map { .goodbye(pause: $0) }
    }
}

/// One thing that a watch says.
enum WatchEvent: Hashable, Sendable {
    case head(Int64)
    case comment
    /// The last word of a gateway that goes down.
    case goodbye(pause: Duration)

    /// Tells the device how long to wait before it comes back, should the stream end: milliseconds.
    static let greeting = "retry: 1000\n\n"

    var text: String {
        switch self {
        case .head(let head):
            "id: \(head)\nevent: change\ndata: {\"highest_server_seq\":\(head)}\n\n"
        case .comment: ": alive\n\n"
        case .goodbye(let pause): "retry: \(pause.milliseconds)\n\n"
        }
    }
}
