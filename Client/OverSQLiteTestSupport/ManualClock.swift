import Foundation
import OverSQLite
import Synchronization

/// A clock that stands still until the test advances it. Retries, polls and the watchdog then
/// happen when the test says so, and no test waits for real time to pass.
public final class ManualClock: SyncClock {
    private struct Sleeper {
        let id: UInt64
        let until: Date
        let continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var now: Date
        var sleepers: [Sleeper] = []
        var nextID: UInt64 = 0
        var watchers: [CheckedContinuation<Void, Never>] = []
    }

    private let state: Mutex<State>

    /// Makes a clock that stands still.
    ///
    /// - Parameter now: the initial time.
    public init(now: Date = Date(timeIntervalSince1970: 1_000_000)) {
        state = Mutex(State(now: now))
    }

    /// The current time of this clock.
    public var now: Date { state.withLock { $0.now } }

    /// Returns once the clock has been advanced by the given number of seconds; at once if it is
    /// not positive.
    ///
    /// - Throws: `CancellationError` if the task is cancelled.
    public func sleep(seconds: Double) async throws {
        let id = state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation {
                (continuation: CheckedContinuation<Void, any Error>) in
                let watchers = state.withLock { state -> [CheckedContinuation<Void, Never>] in
                    if Task.isCancelled {
                        continuation.resume(throwing: CancellationError())
                        return []
                    }
                    let until = state.now.addingTimeInterval(seconds)
                    if until <= state.now {
                        continuation.resume()
                        return []
                    }
                    state.sleepers.append(Sleeper(id: id, until: until, continuation: continuation))
                    defer { state.watchers = [] }
                    return state.watchers
                }
                for watcher in watchers { watcher.resume() }
            }
        } onCancel: {
            let sleeper = state.withLock { state in
                state.sleepers.firstIndex { $0.id == id }.map { state.sleepers.remove(at: $0) }
            }
            sleeper?.continuation.resume(throwing: CancellationError())
        }
    }

    /// Advances the clock and wakes everyone whose time has come. A sleep that begins later starts
    /// from the new time, so call ``waitForSleeper()`` first if something is about to sleep.
    ///
    /// - Parameter seconds: the number of seconds to advance.
    public func advance(seconds: Double) {
        let due = state.withLock { state in
            state.now += seconds
            let due = state.sleepers.filter { $0.until <= state.now }
            state.sleepers.removeAll { $0.until <= state.now }
            return due
        }
        for sleeper in due { sleeper.continuation.resume() }
    }

    /// Sets the clock, as a person or a time server does. Sleepers do not wake earlier or later
    /// because of it.
    ///
    /// - Parameter seconds: the number of seconds to set the clock ahead; negative sets it back.
    public func set(aheadBy seconds: Double) {
        state.withLock { state in
            state.now += seconds
            state.sleepers = state.sleepers.map { sleeper in
                Sleeper(
                    id: sleeper.id, until: sleeper.until.addingTimeInterval(seconds),
                    continuation: sleeper.continuation)
            }
        }
    }

    /// Returns when someone is sleeping; at once if someone already is.
    public func waitForSleeper() async {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                if state.sleepers.isEmpty { state.watchers.append(continuation) }
                return !state.sleepers.isEmpty
            }
            if isThere { continuation.resume() }
        }
    }
}
