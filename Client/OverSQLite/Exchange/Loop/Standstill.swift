import Synchronization

/// Watches, while an exchange runs, whether changes are pending and none is confirmed: a request
/// can take minutes, and nothing else would notice (hazard H17). If nothing is pending, it sleeps
/// until the app writes something.
struct Standstill {
    let session: SyncSession
    /// Raised when the app writes. If nil, nothing signals writes, and only what is already pending
    /// is watched.
    let touched: Signal?

    /// Runs `work`, and reports a standstill while it runs.
    func watch<Value: Sendable>(_ work: @escaping @Sendable () async throws -> Value) async throws
        -> Value
    {
        try await withThrowingTaskGroup(of: Value?.self) { group in
            group.addTask { try await work() }
            group.addTask {
                // If counting fails, the work fails as well and reports it.
                try? await look()
                return nil
            }
            defer { group.cancelAll() }
            while let result = try await group.next() {
                if let result { return result }
            }
            throw CancellationError()
        }
    }

    /// Returns once the status shows that nothing gets through.
    private func look() async throws {
        let clock = session.configuration.clock
        while !Task.isCancelled {
            try await session.refreshCounts()
            if let due = session.watchdog.withLock({ $0.dueAt }) {
                let rest = due - session.now
                if rest <= 0 { return }
                try await clock.sleep(seconds: rest)
            } else {
                guard let touched else { return }
                await touched.wait()
                _ = touched.take()
            }
        }
    }
}
