import Postgres
import Synchronization

/// One run of `oversync migrate`. Whatever changes the database goes through it, and it records
/// the SQL. A plan is therefore what a run executes: ``rehearse(on:lockTimeout:_:)`` takes the same
/// steps in one transaction, which it rolls back.
package final class MigrationRun: Sendable {
    private struct Recording {
        var plan = MigrationPlan()
        /// The transaction whose parts are being recorded.
        var open: MigrationPlan.Transaction?
    }

    /// How a step's transaction begins and ends. A rehearsal has one transaction around all steps,
    /// and a savepoint for each.
    private struct Framing {
        let begin: String
        let commit: String
        let rollback: String

        static let execution = Framing(begin: "BEGIN", commit: "COMMIT", rollback: "ROLLBACK")
        static let rehearsal = Framing(
            begin: "SAVEPOINT oversync_step", commit: "RELEASE SAVEPOINT oversync_step",
            rollback: "ROLLBACK TO SAVEPOINT oversync_step; RELEASE SAVEPOINT oversync_step")
    }

    package let connection: PostgresConnection
    /// It leaves the database as it is.
    let isRehearsal: Bool
    private let recording = Mutex(Recording())

    /// A run that changes the database.
    package convenience init(on connection: PostgresConnection) {
        self.init(connection, isRehearsal: false)
    }

    private init(_ connection: PostgresConnection, isRehearsal: Bool) {
        self.connection = connection
        self.isRehearsal = isRehearsal
    }

    /// What was executed so far.
    package var plan: MigrationPlan { recording.withLock { $0.plan } }

    /// Finds what a run would execute, and leaves the database as it is.
    ///
    /// The steps hold their locks on the sidecar's tables until the last one is rolled back.
    /// Business tables are not locked: what would wait for their writers is recorded without being
    /// executed.
    ///
    /// - Parameter lockTimeout: longest wait for a lock.
    /// - Throws: what the run would throw, as far as the steps that are executed tell.
    package static func rehearse(
        on connection: PostgresConnection, lockTimeout: Duration = .seconds(5),
        _ steps: (MigrationRun) async throws -> Void
    ) async throws -> MigrationPlan {
        let run = MigrationRun(connection, isRehearsal: true)
        do {
            try await connection.execute(
                script: """
                    BEGIN;
                    SET LOCAL lock_timeout = \(lockTimeout.wholeMilliseconds);
                    \(Migrator.lock)
                    """)
            try await steps(run)
            try await connection.execute(script: "ROLLBACK")
        } catch {
            try? await connection.execute(script: "ROLLBACK")
            throw error
        }
        return run.plan
    }

    /// Runs `body` in a transaction, under the lock that excludes other migrators.
    func transaction<R>(_ body: () async throws -> R) async throws -> R {
        let framing: Framing = isRehearsal ? .rehearsal : .execution
        do {
            try await connection.execute(script: "\(framing.begin); \(Migrator.lock)")
            recording.withLock { $0.open = MigrationPlan.Transaction(opening: [Migrator.lock]) }
            let result = try await body()
            try await connection.execute(script: framing.commit)
            recording.withLock { recording in
                if let done = recording.open { recording.plan.append(done) }
                recording.open = nil
            }
            return result
        } catch {
            recording.withLock { $0.open = nil }
            try? await connection.execute(script: framing.rollback)
            throw error
        }
    }

    /// Makes a setting for the rest of the transaction. A rehearsal keeps its own.
    func set(_ setting: String) async throws(PostgresError) {
        recording.withLock { $0.open?.opening.append(setting) }
        if !isRehearsal { try await connection.execute(script: setting) }
    }

    /// Executes statements that change the database.
    ///
    /// - Parameters:
    ///   - purpose: the comment above them in a plan.
    ///   - isRehearsed: false for what a rehearsal only records. No later step may need its effect.
    ///   - shown: what a plan shows instead, for statements with a secret.
    func execute(
        _ sql: String, for purpose: String, isRehearsed: Bool = true, shown: String? = nil
    ) async throws(PostgresError) {
        record(shown ?? sql, for: purpose)
        if isRehearsed || !isRehearsal { try await connection.execute(script: sql) }
    }

    /// Executes a statement that changes the database.
    func execute(_ statement: BoundStatement, for purpose: String) async throws(PostgresError) {
        record(statement.text, for: purpose)
        try await connection.run(statement.command)
    }

    /// Records what else the run does, in the open transaction.
    ///
    /// - Parameter comment: what a plan shows instead of statements.
    func mention(_ comment: String, for purpose: String) {
        record(comment, for: purpose)
    }

    private func record(_ sql: String, for purpose: String) {
        recording.withLock {
            $0.open?.parts.append(MigrationPlan.Part(purpose: purpose, sql: sql))
        }
    }

    /// Lets a rehearsal take numbers from a sequence without using them up. ROLLBACK does not
    /// return numbers to a sequence, but it undoes a restart of the sequence and all that follows.
    func spareNumbers(of sequence: String) async throws(PostgresError) {
        guard isRehearsal else { return }
        try await connection.execute(
            script: """
                DO $do$ BEGIN
                    EXECUTE format('ALTER SEQUENCE \(sequence) RESTART WITH %s',
                        (SELECT last_value + is_called::int FROM \(sequence)));
                END $do$
                """)
    }
}
