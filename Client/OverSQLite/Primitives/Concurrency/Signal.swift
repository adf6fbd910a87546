import Synchronization

/// Why the loop should look again.
struct WakeReasons: OptionSet, Sendable {
    let rawValue: Int

    /// The app has written a synced row.
    static let localChange = WakeReasons(rawValue: 1)
    /// The app asks for a try now.
    static let nudge = WakeReasons(rawValue: 2)
    /// Sync was paused or resumed.
    static let pause = WakeReasons(rawValue: 4)
    /// The watch stream has something to say.
    static let watch = WakeReasons(rawValue: 8)
}

/// Collects reasons to wake until the loop takes them, so that none is lost while it is busy.
///
/// An `AsyncStream` will not do: it ends for good when a task waiting on it is cancelled, and the
/// loop gives up waits all the time.
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

    /// The reasons since the last time, which are forgotten.
    func take() -> WakeReasons {
        state.withLock { state in
            defer { state.reasons = [] }
            return state.reasons
        }
    }

    /// Returns when there is a reason to take, or the task is cancelled. One task waits at a time.
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
