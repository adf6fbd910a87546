import DatabaseKit
import Postgres
import ServiceKit
import Telemetry
@testable import Sidecar
import Testing
@testable import UploadService

@Suite("The catalog in memory, as readiness sees it")
struct CatalogAgeTests {
    @Test("A catalog that was never read keeps Upload from being ready; the probe does not read it")
    func unread() async throws {
        try await SyncedDatabase.with { database in
            let source = CatalogSource(pool: database.pool, logger: SyncedDatabase.logger)
            var configuration = try PostgresConfiguration(url: database.url)
            configuration.keywords["user"] = ServiceRole.upload.defaultName
            let connection = PostgresPool(
                configuration,
                pool: try PoolConfiguration(maximumConnections: 1, outageBridge: .zero),
                logger: SyncedDatabase.logger)
            let probe = DatabaseProbe(
                connection: connection, pool: database.pool, configuration: configuration,
                needs: UploadPrivileges.needs(
                    source, TableTroubles(metrics: MetricsRegistry(), logger: SyncedDatabase.logger)
                ))
            let unread = [ReadinessProblem.blocking("the catalog has not been read yet")]
            #expect(await probe.problems() == unread)
            #expect(source.known == nil)
            try await source.refresh()
            #expect(await probe.problems() == [])
        }
    }

    @Test("It grows old when it is not read, and is fresh again when it is")
    func outdated() async throws {
        try await SyncedDatabase.with { database in
            let source = database.source
            #expect(source.problem() == .unread)
            try await source.refresh()
            let late = ContinuousClock.now + CatalogSource.maximumAge + .nanoseconds(1)
            #expect(source.problem(now: late - .seconds(5)) == nil)
            #expect(source.problem(now: late) == .outdated)
            // A reading that fails is none.
            try await database.execute("ALTER TABLE sync.catalog RENAME TO hidden")
            await #expect(throws: PostgresError.self) { try await source.refresh() }
            #expect(source.problem(now: late) == .outdated)
            #expect(source.known != nil)
            try await database.execute("ALTER TABLE sync.hidden RENAME TO catalog")
            try await source.refresh()
            #expect(source.problem(now: late) == nil)
        }
    }

    @Test("An old catalog degrades a service, in words that do not change with its age")
    func words() {
        let problem = CatalogSource.Problem.outdated.readiness
        #expect(!problem.isBlocking)
        #expect(problem.text.hasPrefix("the catalog was last read more than 15 s ago"))
        #expect(CatalogSource.Problem.unread.readiness.isBlocking)
    }
}
