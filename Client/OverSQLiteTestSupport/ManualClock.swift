import Foundation
import OverSQLite
import Synchronization

/// A clock that stands still until it is told to go on: retries, polls and the watchdog then happen
/// when the test says so, and no test waits for time to pass.
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

    /// A clock that stands.
    ///
    /// - Parameter now: the time of day at first.
    public init(now: Date = Date(timeIntervalSince1970: 1_000_000)) {
        state = Mutex(State(now: now))
    }

    /// The time of day, as it was set last.
    public var now: Date { state.withLock { $0.now } }

    /// Returns once the clock has been advanced by so many seconds; at once if there are none to
    /// wait for.
    ///
    /// - Throws: `CancellationError` when the task is cancelled.
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

    /// Lets time pass and wakes everybody whose time has come. Who begins to sleep later counts
    /// from then: call ``waitForSleeper()`` first where something is about to.
    public func advance(seconds: Double) {
        let due = state.withLock { state in
            state.now += seconds
            let due = state.sleepers.filter { $0.until <= state.now }
            state.sleepers.removeAll { $0.until <= state.now }
            return due
        }
        for sleeper in due { sleeper.continuation.resume() }
    }

    /// Sets the clock, as people and time servers do: those who sleep wake no sooner and no later
    /// for it.
    ///
    /// - Parameter seconds: by how many it goes ahead; negative sets it back.
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

    /// Returns when somebody sleeps, at once if somebody does.
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
