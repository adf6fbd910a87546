import Synchronization

/// The uploads that wait at the database while somebody else keeps their user's log locked.
///
/// Each holds a connection meanwhile. A back end that writes rows of many users in one long
/// transaction locks the logs of all of them: without a bound, the uploads of a few such users
/// would take all connections, and nobody's would be written. So an upload waits for a moment
/// first, and then as long as it may if half of the connections are left to others; else its caller
/// is asked to come back.
final class LogWaits: Sendable {
    /// The first wait: longer than most transactions of other replicas.
    private static let firstWait: Duration = .milliseconds(50)
    /// The same while as many as may wait for long.
    private static let shortWait: Duration = .milliseconds(10)

    private let most: Int
    private let count = Mutex(0)

    /// - Parameter turns: uploads at the database at once.
    init(turns: Int) {
        most = max(1, turns / 2)
    }

    /// How long an upload waits before it has asked for a longer wait.
    var firstWait: Duration { count.withLock { $0 < most } ? Self.firstWait : Self.shortWait }

    /// Begins a long wait, unless as many as may wait already.
    ///
    /// - Returns: whether the upload may wait: then `leave()` ends it.
    func enter() -> Bool {
        count.withLock { count in
            guard count < most else { return false }
            count += 1
            return true
        }
    }

    func leave() { count.withLock { $0 -= 1 } }
}
