import Foundation
import Synchronization

/// A clock that a test sets, in seconds since 1970.
final class TestClock: Sendable {
    private let time: Mutex<TimeInterval>

    init(_ now: TimeInterval) {
        time = Mutex(now)
    }

    var now: TimeInterval {
        get { time.withLock { $0 } }
        set { time.withLock { $0 = newValue } }
    }
}
