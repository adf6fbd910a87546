import Model
import Postgres

/// Makes foreign keys of and to registered tables `DEFERRABLE INITIALLY DEFERRED`
/// (`oversync migrate fk-deferrable`).
///
/// One transaction a key, so that what is done stays done and one key's trouble is its own. Altering a key
/// waits for the writers of its table and holds up those that come after it, hence a short wait for the lock,
/// repeated.
package struct DeferrableKeys: Sendable {
    /// How hard a table that is in use is tried.
    package struct Patience: Hashable, Sendable {
        /// Longest wait for one lock. Longer than PostgreSQL's `deadlock_timeout` (1 s), after which an
        /// autovacuum gives way; shorter than all attempts of an upload together, so that uploads
        /// that wait for it are applied.
        package var lockTimeout: Duration = .milliseconds(1500)
        package var attempts = 10
        /// Between two attempts, for those that queued up.
        package var pause: Duration = .seconds(1)

        package init() {}
    }

    /// What became of a key.
    package struct Outcome: Hashable, Sendable {
        package let key: ImmediateKey
        /// Nil if it is deferred now.
        package let problem: ImmediateKeyProblem?
    }

    private let connection: PostgresConnection
    private let patience: Patience

    package init(connection: PostgresConnection, patience: Patience = Patience()) {
        self.connection = connection
        self.patience = patience
    }

    /// The keys that are not deferred yet.
    package func pending() async throws(PostgresError) -> [ImmediateKey] {
        try await connection.run(ForeignKeyStatements.ReadImmediateKeys()).all()
    }

    /// Converts every key that is not deferred yet, each on its own.
    ///
    /// - Parameter progress: receives each key once it is settled.
    /// - Throws: when the database is lost or the task is cancelled; what was converted stays so.
    package func convert(progress: (Outcome) -> Void = { _ in }) async throws -> [Outcome] {
        var outcomes: [Outcome] = []
        for key in try await pending() {
            let outcome = Outcome(key: key, problem: try await convert(key))
            outcomes.append(outcome)
            progress(outcome)
        }
        return outcomes
    }

    private func convert(_ key: ImmediateKey) async throws -> ImmediateKeyProblem? {
        guard key.isOurs else { return .notOwner(key.owner) }
        var attempt = 1
        while true {
            do {
                try await alter(key)
                return nil
            } catch {
                let problem = try ImmediateKeyProblem(error, of: key, attempts: attempt)
                guard case .inUse = problem, attempt < patience.attempts else { return problem }
            }
            attempt += 1
            // The table's users get through first: a waiting ALTER would hold them all up.
            try await Task.sleep(for: patience.pause)
        }
    }

    private func alter(_ key: ImmediateKey) async throws(PostgresError) {
        do {
            try await connection.execute(
                script: """
                    BEGIN;
                    SET LOCAL lock_timeout = \(patience.lockTimeout.wholeMilliseconds);
                    \(key.statement);
                    COMMIT
                    """)
        } catch {
            try? await connection.execute(script: "ROLLBACK")
            throw error
        }
    }
}
