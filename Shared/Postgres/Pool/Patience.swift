import Waiting

/// How long a caller waits for a connection, and the error that it gets when that time is over.
struct Patience: Sendable {
    let end: ContinuousClock.Instant
    let reason: PostgresError.Kind
}

extension WaitList<Patience> {
    var nextDeadline: ContinuousClock.Instant? { values.map(\.end).min() }

    /// Removes the callers whose time is over.
    mutating func removeExpired(
        now: ContinuousClock.Instant
    ) -> [(id: ID, value: Patience)] {
        removeAll { $0.end <= now }
    }
}
