import Foundation
import NIOHTTP1

/// What becomes of a request to the collector, by its answer.
enum CollectorAnswer: Hashable, Sendable {
    /// Taken, except for this many spans or points.
    case taken(rejected: Int)
    /// It may be taken later.
    ///
    /// - Parameter pause: that the collector asks for.
    case later(why: String, pause: Duration?)
    /// It never will be.
    case refused(why: String)

    /// Longest pause that is understood. Who asks for more is not waited for anyway.
    private static let longestPause: Duration = .seconds(3600)

    /// The answers after which the protocol allows the request to be repeated.
    private static let repeatable: Set<UInt> = [429, 502, 503, 504]

    /// An answer that is no success.
    init(status: HTTPResponseStatus, retryAfter: String?, now: Date = Date()) {
        let why = "it answered \(status.code)"
        guard Self.repeatable.contains(status.code) else {
            self = .refused(why: why)
            return
        }
        self = .later(why: why, pause: retryAfter.flatMap { Self.pause($0, now: now) })
    }

    /// - Parameter text: seconds, or a date.
    static func pause(_ text: String, now: Date) -> Duration? {
        let text = text.trimmingCharacters(in: .whitespaces)
        if !text.isEmpty, text.utf8.allSatisfy({ $0 &- 0x30 < 10 }) {
            return min(longestPause, .seconds(Int(text) ?? .max / 2))
        }
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.timeZone = TimeZone(secondsFromGMT: 0)
        format.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
        guard let date = format.date(from: text) else { return nil }
        let seconds = min(max(0, date.timeIntervalSince(now)), 3600)
        return .milliseconds(Int(seconds * 1000))
    }
}
