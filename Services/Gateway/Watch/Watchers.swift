import HTTPTypes
import ServiceKit
import ServiceLifecycle
import Synchronization

/// Who watches at once, within a limit. Ends them all when the gateway goes down.
final class Watchers: Service {
    private struct State {
        var watches: [ObjectIdentifier: WeakWatch] = [:]
        var isClosed = false
    }

    /// A watch, as this list and its alarm know it.
    private struct WeakWatch: Sendable {
        weak let watch: Watch?
    }

    private let limit: Int
    private let count = Atomic(0)
    private let state = Mutex(State())
    private let alarms = Alarms<WeakWatch> { $0.watch?.ring() }

    init(limit: Int) { self.limit = limit }

    /// Watches that are open.
    var open: Int { count.load(ordering: .relaxed) }

    /// Waits for the gateway to go down; then no watch goes on, and none begins.
    func run() async throws {
        try? await gracefulShutdown()
        let watches = state.withLock { state in
            state.isClosed = true
            return Array(state.watches.values)
        }
        for each in watches { each.watch?.sayGoodbye() }
    }

    /// - Returns: a place, given back when it goes.
    /// - Throws: `WireError` 503 when there is none.
    func enter() throws(WireError) -> Place {
        guard count.add(1, ordering: .relaxed).newValue <= limit else {
            count.subtract(1, ordering: .relaxed)
            throw WireError(
                status: .serviceUnavailable, code: "too_many_watchers",
                message: "Too many devices watch; use /sync/download?wait, or come back later",
                retryAfter: 10)
        }
        return Place(watchers: self)
    }

    final class Place: Sendable {
        private let watchers: Watchers
        fileprivate init(watchers: Watchers) { self.watchers = watchers }

        /// From now on the watch ends with the gateway.
        func take(_ watch: Watch) {
            let isClosed = watchers.state.withLock { state in
                state.watches[ObjectIdentifier(self)] = WeakWatch(watch: watch)
                return state.isClosed
            }
            if isClosed { watch.sayGoodbye() }
        }

        /// Rings at that time, if the watch is still there.
        func ring(_ watch: Watch, at instant: ContinuousClock.Instant) {
            watchers.alarms.set(WeakWatch(watch: watch), at: instant)
        }

        deinit {
            watchers.count.subtract(1, ordering: .relaxed)
            _ = watchers.state.withLock { $0.watches.removeValue(forKey: ObjectIdentifier(self)) }
        }
    }
}
