import Postgres
import ServiceKit

/// Finds out whether a service can use its database.
///
/// It has its own connection outside the pool: a service that is using all of its connections is
/// not out of order, and must not look as if it were.
package struct DatabaseProbe: Sendable {
    /// What the problems begin with.
    package static let name = "PostgreSQL"

    /// One connection, which is made again within a second after PostgreSQL is back. To be run as a service.
    package let connection: PostgresPool
    private let pool: PostgresPool
    private let configuration: PostgresConfiguration
    private let needs: DatabaseNeeds

    /// - Parameters:
    ///   - connection: of one connection, without patience for outages: see ``ServiceDatabase/probe(_:)``.
    ///   - pool: what the service works with.
    package init(
        connection: PostgresPool, pool: PostgresPool, configuration: PostgresConfiguration,
        needs: DatabaseNeeds
    ) {
        self.connection = connection
        self.pool = pool
        self.configuration = configuration
        self.needs = needs
    }

    package var check: ReadinessCheck { ReadinessCheck(Self.name, probe: problems) }

    /// What keeps the service from using its database.
    package func problems() async -> [ReadinessProblem] {
        let deadline = ContinuousClock.now + ReadinessCheck.limit
        do {
            let first = try await read(needs.privileges, deadline)
            // The server is there: the pool need not wait for its next attempt.
            pool.retry()
            let blocking = DatabaseJudgement(needs: needs, business: []).problems(first).blocking
            guard blocking.isEmpty else { return blocking.map { .blocking($0) } }
            if let failure = pool.failure { throw failure }
            let remembered = needs.remembered()
            let business = try await needs.business()
            guard !business.isEmpty else { return remembered }
            let second = try await read(needs.privileges + business.flatMap { $0 }, deadline)
            let (_, degrading) = DatabaseJudgement(needs: needs, business: business)
                .problems(second)
            return remembered + degrading.map(ReadinessProblem.degrading)
        } catch let error as PostgresError {
            let words = PostgresTrouble(connection.failure ?? error, configuration)
            return [.blocking("\(words)")]
        } catch is CancellationError {
            return []
        } catch {
            return [.blocking("cannot be read: \(error)")]
        }
    }

    private func read(
        _ wanted: [RequiredPrivileges], _ deadline: ContinuousClock.Instant
    ) async throws -> DatabaseReading {
        try await connection.withConnection(deadline: deadline) {
            try await $0.readDatabase(
                wanting: wanted, layoutIn: needs.layoutTable, deadline: deadline)
        }
    }
}
