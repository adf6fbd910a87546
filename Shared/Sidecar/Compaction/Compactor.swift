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
    private let isDryRun: Bool

    /// - Parameter isDryRun: only counts what would be removed. It locks and changes nothing, and
    ///   a standby can do it.
    package init(
        connection: PostgresConnection, retention: Retention, isDryRun: Bool = false
    ) {
        self.connection = connection
        self.retention = retention
        self.isDryRun = isDryRun
    }

    /// - Parameters:
    ///   - user: only this one's log.
    ///   - pace: called before each transaction, with the number of logs that were looked at. It
    ///     may wait; what it throws ends the run, between two transactions.
    ///   - progress: called after each user whose log became shorter, with what was removed of it.
    package func run(
        user: String? = nil, pace: (Int64) async throws -> Void = { _ in },
        progress: (String, Summary) -> Void = { _, _ in }
    ) async throws -> Summary {
        var summary = Summary()
        var last: Int64 = 0
        var looked: Int64 = 0
        while let (scope, name) = try await Scopes.next(after: last, of: user, on: connection) {
            last = scope
            let wait = { try await pace(looked) }
            let one = try await isDryRun ? count(in: scope, wait) : removeChanges(of: scope, wait)
            looked += 1
            guard one.superseded + one.tombstones > 0 else { continue }
            summary.users += 1
            summary.superseded += one.superseded
            summary.tombstones += one.tombstones
            progress(name, one)
        }
        if !isDryRun {
            try await connection.run(Command(CompactionStatements.forgetHydrations))
            // A device that is away for longer starts over.
            var age = Bindings()
            age.bind(Double(retention.tombstones))
            try await connection.run(Command(CompactionStatements.forgetReports, age))
            try await connection.run(Command(CompactionStatements.forgetLeases, age))
        }
        summary.failures = try await removeFailures(of: user) { try await pace(looked) }
        return summary
    }

    private func removeChanges(
        of scope: Int64, _ wait: () async throws -> Void
    ) async throws -> Summary {
        var one = Summary(users: 1)
        one.superseded = try await walk(along: scope, olderThan: retention.superseded, wait) {
            try await inTransaction(
                CompactionStatements.RemoveSuperseded(stretch: $0), locking: scope)
        }
        one.tombstones = try await walk(along: scope, olderThan: retention.tombstones, wait) {
            try await inTransaction(
                CompactionStatements.RemoveTombstones(stretch: $0), locking: scope)
        }
        if one.superseded + one.tombstones > 0 {
            _ = try await walk(along: scope, olderThan: 0, wait) {
                try await inTransaction(
                    CompactionStatements.ForgetAtomicUploads(stretch: $0), locking: scope)
            }
        }
        return one
    }

    private func count(in scope: Int64, _ wait: () async throws -> Void) async throws -> Summary {
        var one = Summary(users: 1)
        one.superseded = try await walk(along: scope, olderThan: retention.superseded, wait) {
            try await connection.run(CompactionStatements.CountSuperseded(stretch: $0)).one()
        }
        one.tombstones = try await walk(along: scope, olderThan: retention.tombstones, wait) {
            try await connection.run(CompactionStatements.CountTombstones(stretch: $0)).one()
        }
        return one
    }

    /// Each statement is a transaction of its own.
    private func removeFailures(
        of user: String?, _ wait: () async throws -> Void
    ) async throws -> Int64 {
        guard let age = retention.failures else { return 0 }
        if isDryRun {
            return try await connection.run(
                CompactionStatements.CountFailures(age: age, user: user)
            ).one()
        }
        var total: Int64 = 0
        while true {
            try await wait()
            let removed = try await connection.run(
                CompactionStatements.RemoveFailures(
                    age: age, user: user, limit: Self.batchFailures)
            ).one()
            total += removed
            if removed < Self.batchFailures { return total }
        }
    }

    /// Walks once along a log, stretch by stretch.
    ///
    /// - Parameter look: does what there is to do with a stretch.
    /// - Returns: how many changes it concerned.
    private func walk(
        along scope: Int64, olderThan seconds: Int64, _ wait: () async throws -> Void,
        _ look: (CompactionStatements.Stretch) async throws -> CompactionStatements.Removal
    ) async throws -> Int64 {
        var total: Int64 = 0
        var after: Int64? = 0
        while let start = after {
            try await wait()
            let removal = try await look(
                CompactionStatements.Stretch(
                    scope: scope, after: start, changes: Self.batchChanges, age: seconds))
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
