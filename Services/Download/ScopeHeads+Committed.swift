import Model
import Postgres
import Synchronization

/// When changes were committed, for the metric of their delivery.
extension ScopeHeads {
    /// Longest time that asking for a time of commit may take: it is for a metric alone.
    static let committedLimit: Duration = .seconds(1)

    /// When the first change was committed that became known with a user's last one. The database
    /// is asked if a reading found the growth, as readings do not tell.
    ///
    /// - Parameter told: the last sequence before.
    /// - Returns: nil if nobody knows.
    func committed(_ head: Sequence64, after told: Sequence64, of user: UserID) async -> CommitTime?
    {
        let known = state.withLock { $0.entries[user] }
        guard head > told, known?.told == head else { return nil }
        if let committed = known?.committed { return committed }
        let deadline = Instant.now + Self.committedLimit
        let found = try? await pool.withConnection(deadline: deadline) { connection in
            var rows = try await connection.run(
                DownloadStatements.ReadGrown(users: [(user, told)]), deadline: deadline)
            return try rows.next()?.committed
        }
        // The user's other devices that watch need not ask.
        state.withLock { state in
            if state.entries[user]?.told == head { state.entries[user]?.committed = found }
        }
        return found
    }
}
