extension Channel {
    /// Runs an exchange from a task. Cancelling the task stops it.
    func perform(_ exchange: any Exchange, deadline: Instant?) async throws(PostgresError) {
        let error = await withTaskCancellationHandler {
            await withCheckedContinuation {
                (continuation: CheckedContinuation<PostgresError?, Never>) in
                start(exchange, deadline: deadline, heedsCancellation: true) {
                    continuation.resume(returning: $0)
                }
            }
        } onCancel: {
            interrupt(exchange, because: .cancelled)
        }
        if let error { throw error }
    }

    /// Runs an exchange that must happen even though the task is cancelled, such as a clean-up.
    func performRegardless(_ exchange: any Exchange, deadline: Instant?) async throws(PostgresError)
    {
        let error = await withCheckedContinuation { continuation in
            start(exchange, deadline: deadline) { continuation.resume(returning: $0) }
        }
        if let error { throw error }
    }

    /// Resumes a paused exchange only to end it.
    func drain(_ exchange: any Exchange, deadline: Instant) async {
        await withCheckedContinuation { continuation in
            start(exchange, deadline: deadline) { _ in continuation.resume() }
            interrupt(exchange, because: .cancelled)
        }
    }
}
