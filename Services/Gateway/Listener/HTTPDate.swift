import Foundation
import Synchronization

/// The `Date` header, written once a second.
final class HTTPDate: Sendable {
    private let written = Mutex<(second: time_t, text: String)?>(nil)

    func text(at second: time_t = time(nil)) -> String {
        written.withLock { written in
            if let written, written.second == second { return written.text }
            let text = Self.text(of: second)
            written = (second, text)
            return text
        }
    }

    /// Such as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7).
    static func text(of second: time_t) -> String {
        var (second, parts) = (second, tm())
        gmtime_r(&second, &parts)
        let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
        let months = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ]
        func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return days[Int(parts.tm_wday)] + ", " + two(parts.tm_mday) + " "
            + months[Int(parts.tm_mon)] + " \(1900 + Int(parts.tm_year)) " + two(parts.tm_hour)
            + ":" + two(parts.tm_min) + ":" + two(parts.tm_sec) + " GMT"
    }
}
