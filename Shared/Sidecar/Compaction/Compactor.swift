import Postgres

/// How long logs keep what newer changes have made useless. Both times are part of promise P2 and P3: a device
/// that stays away for longer than deletes are kept starts again from 0, and a change that is sent again after its
/// log entry has gone is judged by its base version, like a new one.
package struct Retention: Hashable, Sendable {
    /// Changes that a newer change of their row has replaced, in seconds.
    package let superseded: Int64
    /// Deletes, in seconds. Never shorter than `superseded`: a delete outlives what it deletes.
    package let tombstones: Int64

    package init(superseded: Int64, tombstones: Int64) {
        self.superseded = superseded
        self.tombstones = max(superseded, tombstones)
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

    /// What a run came to.
    package struct Summary: Hashable, Sendable {
        /// Users whose log became shorter.
        package internal(set) var users = 0
        package internal(set) var superseded: Int64 = 0
        package internal(set) var tombstones: Int64 = 0
    }

    private struct Scope {
        let id: Int64
        let user: String
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
        while let scope = try await next(after: last, user) {
            last = scope.id
            var one = Summary(users: 1)
            one.superseded = try await remove(
                CompactionStatements.removeSuperseded, scope, olderThan: retention.superseded)
            one.tombstones = try await remove(
                CompactionStatements.removeTombstones, scope, olderThan: retention.tombstones)
            guard one.superseded + one.tombstones > 0 else { continue }
            summary.users += 1
            summary.superseded += one.superseded
            summary.tombstones += one.tombstones
            progress(scope.user, one)
        }
        try await connection.run(Command(CompactionStatements.forgetHydrations))
        return summary
    }

    private func next(after id: Int64, _ user: String?) async throws(PostgresError) -> Scope? {
        var bindings = Bindings()
        bindings.bind(id)
        bindings.bind(user)
        let rows = try await connection.run(Command(CompactionStatements.nextScope, bindings))
        return rows.rowCount == 0
            ? nil : Scope(id: try rows.int64(0, 0), user: try rows.string(0, 1))
    }

    /// Walks once along a log and removes what the statement finds in each stretch of it.
    private func remove(
        _ statement: Statement, _ scope: Scope, olderThan seconds: Int64
    ) async throws(PostgresError) -> Int64 {
        var lock = Bindings()
        lock.bind(scope.id)
        var total: Int64 = 0
        var after: Int64? = 0
        while let start = after {
            var stretch = lock
            stretch.bind(start)
            stretch.bind(Self.batchChanges)
            stretch.bind(seconds)
            let result = try await inTransaction([
                Command(CompactionStatements.lockScope, lock), Command(statement, stretch),
            ])
            total += try result.int64(0, 0)
            after = try result.optionalInt64(0, 1)
        }
        return total
    }

    /// - Returns: the last command's result.
    private func inTransaction(
        _ commands: [Command]
    ) async throws(PostgresError) -> PostgresResult {
        do {
            let results = try await connection.run(
                [Command(CompactionStatements.begin)] + commands
                    + [Command(CompactionStatements.commit)])
            return results[results.count - 2]
        } catch {
            try? await connection.execute(script: "ROLLBACK")
            throw error
        }
    }
}
