import Synchronization

/// Why the loop should wake up.
struct WakeReasons: OptionSet, Sendable {
    let rawValue: Int

    /// The app has written a synced row.
    static let localChange = WakeReasons(rawValue: 1)
    /// The app asks to try again now.
    static let nudge = WakeReasons(rawValue: 2)
    /// Sync was paused or resumed.
    static let pause = WakeReasons(rawValue: 4)
    /// The watch stream has something to report.
    static let watch = WakeReasons(rawValue: 8)
}

/// Collects wake-up reasons until the loop takes them, so that none is lost while the loop is busy.
///
/// An `AsyncStream` does not work here: it ends for good when a waiting task is cancelled, and the
/// loop cancels waits all the time.
final class Signal: Sendable {
    private struct State {
        var reasons: WakeReasons = []
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    func raise(_ reason: WakeReasons) {
        let waiter = state.withLock { state in
            state.reasons.insert(reason)
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    /// Returns the reasons since the last call and clears them.
    func take() -> WakeReasons {
        state.withLock { state in
            defer { state.reasons = [] }
            return state.reasons
        }
    }

    /// Returns when there is a reason to take, or when the task is cancelled. Only one task may
    /// wait at a time.
    func wait() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    if !state.reasons.isEmpty || Task.isCancelled { return true }
                    state.waiter = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            let waiter = state.withLock { state in
                defer { state.waiter = nil }
                return state.waiter
            }
            waiter?.resume()
        }
    }
}
