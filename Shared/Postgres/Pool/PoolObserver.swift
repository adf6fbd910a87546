/// What a pool holds at one moment.
package struct PoolStatistics: Sendable, Equatable {
    package var idle = 0
    package var inUse = 0
    package var waiting = 0
    package var connecting = 0
    package var maximum: Int

    package init(maximum: Int) {
        self.maximum = maximum
    }
}

/// Something that happened in a pool.
package enum PoolEvent: Sendable, Equatable {
    case opened(after: Duration)
    case openFailed(PostgresError)
    /// A caller got a connection after this wait.
    case acquired(after: Duration)
    /// A caller got none: the pool was full, closed, or the wait too long.
    case refused(PostgresError.Kind)
    /// A connection came back with an open transaction, which is being rolled back.
    case rolledBack
    case lost(PostgresError)
    case closed
}

/// Receives a pool's events, for metrics. Called on any thread; must not block.
package protocol PoolObserver: Sendable {
    func poolDid(_ event: PoolEvent)
}
