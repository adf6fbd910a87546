import Logging
import Synchronization

/// Logs one of every n similar events at `info`, and the others at `debug`.
package final class LogSample: Sendable {
    private let every: Int
    private let seen = Atomic(0)

    /// - Parameter every: 1 logs all of them.
    package init(every: Int) { self.every = max(1, every) }

    /// The level for the next event. The first is logged.
    package func level() -> Logger.Level {
        guard every > 1 else { return .info }
        let before = seen.wrappingAdd(1, ordering: .relaxed).oldValue
        return before % every == 0 ? .info : .debug
    }
}
