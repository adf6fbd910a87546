import Synchronization

/// Allows an engine only one background loop at a time. Two loops would take each other's wake-up
/// reasons.
final class LoopKeeper: Sendable {
    private enum State {
        case none
        case started(Task<Void, Never>)
        /// Told to end, but still running.
        case ending(Task<Void, Never>)
        /// Running in a task of the app.
        case callers
    }

    private let state = Mutex(State.none)

    /// Whether a loop is running that has not been told to end.
    var isRunning: Bool {
        state.withLock { state in
            switch state {
            case .started, .callers: true
            case .none, .ending: false
            }
        }
    }

    /// Starts the loop, after an earlier one that is ending. Does nothing while one runs.
    func start(_ begin: () -> Task<Void, Never>) async {
        while true {
            let ending = state.withLock { state -> Task<Void, Never>? in
                switch state {
                case .none: state = .started(begin())
                case .started, .callers: break
                case .ending(let task): return task
                }
                return nil
            }
            guard let ending else { return }
            await ended(ending)
        }
    }

    /// Ends the loop that `start` began.
    ///
    /// - Returns: whether no loop is running now.
    func stop() async -> Bool {
        let task = state.withLock { state -> Task<Void, Never>? in
            switch state {
            case .started(let task), .ending(let task):
                state = .ending(task)
                return task
            case .none, .callers: return nil
            }
        }
        if let task {
            task.cancel()
            await ended(task)
        }
        return !isRunning
    }

    private func ended(_ task: Task<Void, Never>) async {
        await task.value
        state.withLock { state in
            if case .ending(task) = state { state = .none }
        }
    }

    /// Runs a loop in the caller's task.
    ///
    /// - Throws: `SyncError.alreadyRunning` if a loop is running or ending.
    func run(_ loop: () async -> Void) async throws(SyncError) {
        let isFree = state.withLock { state in
            guard case .none = state else { return false }
            state = .callers
            return true
        }
        guard isFree else { throw .alreadyRunning }
        await loop()
        state.withLock { $0 = .none }
    }

    /// Tells the loop to end, without waiting for it.
    func cancel() {
        state.withLock { state in
            if case .started(let task) = state { task.cancel() }
        }
    }
}
