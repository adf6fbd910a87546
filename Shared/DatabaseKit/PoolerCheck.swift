import LogFields
import Logging
import Postgres
import ServiceKit
import ServiceLifecycle

/// What stands between a service and PostgreSQL, as far as it can be seen from here.
package enum Pooling: Sendable, Hashable {
    /// Nothing, or something that keeps a session for each connection: session settings and named statements hold.
    case session
    /// A pooler that lends a server's session for one transaction (pgbouncer's `pool_mode = transaction`).
    case transaction
    /// A pooler that lends it for one statement: a service cannot work with that.
    case statement

    /// What is wrong with the configuration; nil if it works.
    ///
    /// - Parameter isTold: `OVERSYNC_DATABASE_POOLER`.
    func problem(isTold: Bool) -> String? {
        switch self {
        case .session: nil
        case .transaction where isTold: nil
        case .transaction:
            "is false, but the database is reached through a transaction pooler, which loses named statements and "
                + "session settings: set it to true, or let the pooler use session pooling"
        case .statement:
            "does not help with a pooler in statement mode, which refuses transactions: let it use transaction or "
                + "session pooling"
        }
    }

    /// How often two connections are compared: one of them may meet another client's session by chance.
    static let comparisons = 10
    /// Longest time of one statement.
    static let answerLimit: Duration = .seconds(5)

    /// Finds it out with two connections, without any setting of a pooler's.
    ///
    /// A pooler makes up the number that a connection calls its server process by, so a true one proves that there is
    /// none. Behind a pooler two open connections that meet the same server process, or one that meets two, prove that
    /// sessions are lent.
    package static func find(_ configuration: PostgresConfiguration) async throws -> Pooling {
        var plain = configuration
        plain.sessionSettings = [:]
        plain.usesNamedStatements = false
        let logger = Logger(label: "pooler") { _ in SwiftLogNoOpLogHandler() }
        let first = try await PostgresConnection.connect(plain, logger: logger)
        defer { first.close() }
        let served = try await process(of: first)
        if first.backendProcess.map(Int64.init) == served { return .session }
        guard try await takesTransactions(first) else {
            // The pooler closes the connection, as a server that goes down does; but this one goes on answering.
            let again = try await PostgresConnection.connect(plain, logger: logger)
            defer { again.close() }
            _ = try await process(of: again)
            if try await takesTransactions(again) { throw PostgresError(.connectionLost) }
            let alive = try await PostgresConnection.connect(plain, logger: logger)
            defer { alive.close() }
            _ = try await process(of: alive)
            return .statement
        }
        let second = try await PostgresConnection.connect(plain, logger: logger)
        defer { second.close() }
        for _ in 0..<comparisons {
            let (one, other) = (try await process(of: first), try await process(of: second))
            if one == other || one != served { return .transaction }
        }
        return .session
    }

    /// - Throws: `PostgresError` where the database does not say, after a few seconds
    ///   `.deadlineExceeded`.
    static func takesTransactions(
        _ connection: PostgresConnection
    ) async throws(PostgresError) -> Bool {
        do throws(PostgresError) {
            for (name, sql) in [("pooler_begin", "BEGIN"), ("pooler_end", "ROLLBACK")] {
                try await connection.run(
                    Command(Statement(name: name, sql: sql)), deadline: .now + answerLimit)
            }
            return true
        } catch {
            guard error.kind == .connectionLost || error.serverError != nil else { throw error }
            return false
        }
    }

    private static let process = Statement(
        name: "pooler_process", sql: "SELECT pg_catalog.pg_backend_pid()::bigint")

    private static func process(
        of connection: PostgresConnection
    ) async throws(PostgresError) -> Int64 {
        try await connection.rows(process, of: Int64.self, deadline: .now + answerLimit).one()
    }
}

/// Looks once, as soon as the database answers, whether the setting about a pooler in between is true. A
/// wrong setting ends the process: else statements would fail now and then, on whatever session they meet.
package final class PoolerCheck: Service {
    /// Time between two attempts while the database does not answer.
    static let pause: Duration = .seconds(1)

    private let configuration: PostgresConfiguration
    private let isPooled: Bool
    private let logger: Logger

    /// - Parameter isPooled: `OVERSYNC_DATABASE_POOLER`.
    package init(_ configuration: PostgresConfiguration, isPooled: Bool, logger: Logger) {
        self.configuration = configuration
        self.isPooled = isPooled
        self.logger = logger
    }

    package func run() async throws {
        let problem = await cancelWhenGracefulShutdown { await self.find() }
        if let problem {
            throw ConfigurationError(key: "OVERSYNC_DATABASE_POOLER", reason: problem)
        }
        // A service that returns ends the others.
        try? await gracefulShutdown()
    }

    /// Nil also when the service is stopped before the database has answered.
    private func find() async -> String? {
        while !Task.isCancelled {
            do {
                let pooling = try await Pooling.find(configuration)
                logger.debug(
                    "looked for a pooler",
                    metadata: .fields([.pooling: "\(pooling)", .told: "\(isPooled)"]))
                return pooling.problem(isTold: isPooled)
            } catch {
                // The pool reports why the database does not answer, and nothing signals that it
                // does again.
                try? await Task.sleep(for: Self.pause)
            }
        }
        return nil
    }
}
