import Postgres

/// How long logs keep what newer changes have made useless. Both times are part of promise P2 and P3: a device
/// that stays away for longer than deletes are kept starts again from 0, and a change that is sent again after its
/// log entry has gone is judged by its base version, like a new one.
package struct Retention: Hashable, Sendable {
    /// Changes that a newer change of their row has replaced, in seconds.
    package let superseded: Int64
    /// Deletes, in seconds. Never shorter than `superseded`: a delete outlives what it deletes.
    package let tombstones: Int64
    /// Changes that business tables have refused, in seconds; nil keeps them.
    package let failures: Int64?

    package init(superseded: Int64, tombstones: Int64, failures: Int64? = nil) {
        self.superseded = superseded
        self.tombstones = max(superseded, tombstones)
        self.failures = failures
    }
}

/// Removes from the logs what no device needs any more (`oversync compact`): changes that newer changes of
/// their rows have replaced, then old deletes. See `Docs/decisions/0006-compaction.md`.
///
/// Online, in small transactions, each under its scope's lock; run again after an interruption it goes on. A
/// cursor of 0 is always served completely. One before a removed delete is answered `history_pruned`.
package struct Compactor {
    /// Changes looked at in one transaction: bounds how long a user's uploads wait.
    static let batchChanges: Int64 = 2000
    /// Refused changes that go in one transaction.
    static let batchFailures: Int64 = 500

    /// What a run came to.
    package struct Summary: Hashable, Sendable {
        /// Users whose log became shorter.
        package internal(set) var users = 0
        package internal(set) var superseded: Int64 = 0
        package internal(set) var tombstones: Int64 = 0
        /// Refused changes that are no longer listed.
        package internal(set) var failures: Int64 = 0
    }

    private let connection: PostgresConnection
    private let retention: Retention

    package init(connection: PostgresConnection, retention: Retention) {
        self.connection = connection
        self.retention = retention
    }

    /// - Parameters:
    ///   - user: only this one's log.
    ///   - progress: called after each user whose log became shorter, with what was removed of it.
    package func run(
        user: String? = nil, progress: (String, Summary) -> Void = { _, _ in }
    ) async throws(PostgresError) -> Summary {
        var summary = Summary()
        var last: Int64 = 0
        while let (scope, name) = try await connection.run(
            CompactionStatements.ReadNextScope(after: last, user: user)
        ).first() {
            last = scope
            var one = Summary(users: 1)
            one.superseded = try await remove(from: scope, olderThan: retention.superseded) {
                CompactionStatements.RemoveSuperseded(stretch: $0)
            }
            one.tombstones = try await remove(from: scope, olderThan: retention.tombstones) {
                CompactionStatements.RemoveTombstones(stretch: $0)
            }
            guard one.superseded + one.tombstones > 0 else { continue }
            _ = try await remove(from: scope, olderThan: 0) {
                CompactionStatements.ForgetAtomicUploads(stretch: $0)
            }
            summary.users += 1
            summary.superseded += one.superseded
            summary.tombstones += one.tombstones
            progress(name, one)
        }
        try await connection.run(Command(CompactionStatements.forgetHydrations))
        summary.failures = try await removeFailures(of: user)
        return summary
    }

    /// Each statement is a transaction of its own.
    private func removeFailures(of user: String?) async throws(PostgresError) -> Int64 {
        guard let age = retention.failures else { return 0 }
        var total: Int64 = 0
        while true {
            let removed = try await connection.run(
                CompactionStatements.RemoveFailures(
                    age: age, user: user, limit: Self.batchFailures)
            ).one()
            total += removed
            if removed < Self.batchFailures { return total }
        }
    }

    /// Walks once along a log and removes what the statement finds in each stretch of it.
    ///
    /// - Returns: how many changes were removed.
    private func remove<Removing: TypedStatement>(
        from scope: Int64, olderThan seconds: Int64,
        with removing: (CompactionStatements.Stretch) -> Removing
    ) async throws(PostgresError) -> Int64 where Removing.Row == CompactionStatements.Removal {
        var total: Int64 = 0
        var after: Int64? = 0
        while let start = after {
            let stretch = CompactionStatements.Stretch(
                scope: scope, after: start, changes: Self.batchChanges, age: seconds)
            let removal = try await inTransaction(removing(stretch), locking: scope)
            total += removal.count
            after = removal.next
        }
        return total
    }

    private func inTransaction<Typed: TypedStatement>(
        _ statement: Typed, locking scope: Int64
    ) async throws(PostgresError) -> Typed.Row {
        var pipeline = Pipeline()
        pipeline.add(CompactionStatements.begin)
        pipeline.add(CompactionStatements.LockScope(scope: scope))
        let ticket = pipeline.add(statement)
        pipeline.add(CompactionStatements.commit)
        do {
            return try await connection.run(pipeline)[ticket].one()
        } catch {
            try? await connection.execute(script: "ROLLBACK")
            throw error
        }
    }
}
