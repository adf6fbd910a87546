import Synchronization

/// Looks, while an exchange goes on, whether rows wait and none gets through: a request may be held
/// for minutes, and nobody else would notice (hazard H17). With nothing to send it sleeps until
/// something is written.
struct Standstill {
    let session: SyncSession
    /// Raised by writes of the app; nil: nothing signals them, and only what waits already is
    /// watched.
    let touched: Signal?

    /// Runs `work`, and looks beside it.
    func watch<Value: Sendable>(_ work: @escaping @Sendable () async throws -> Value) async throws
        -> Value
    {
        try await withThrowingTaskGroup(of: Value?.self) { group in
            group.addTask { try await work() }
            group.addTask {
                // That it cannot be counted shows in the work itself.
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

    /// Returns once it has been told that nothing gets through.
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
