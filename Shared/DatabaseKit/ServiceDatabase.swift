import Logging
import Postgres
import ServiceKit

/// A service's way to its database: the pool that it works with, and what watches over it.
///
/// All connections ask the same ``DatabasePassword``: what one of them has read holds for the others, and a file that
/// cannot be read is logged once.
package struct ServiceDatabase: Sendable {
    /// How long an attempt of the readiness probe to connect may take: longer than a probe, for a server that is far
    /// away, and no longer, as it holds up the next attempt.
    private static let probeConnectTimeout: Duration = .seconds(2)

    package let pool: PostgresPool
    /// Ends the process if `OVERSYNC_DATABASE_POOLER` is wrong. To be run as a service.
    package let poolerCheck: PoolerCheck
    private let process: ServiceProcess
    private let configuration: PostgresConfiguration

    init(
        _ process: ServiceProcess, _ configuration: PostgresConfiguration,
        _ bounds: PoolConfiguration, isPooled: Bool
    ) {
        self.process = process
        self.configuration = configuration
        let metrics = PoolMetrics(process.metrics)
        pool = PostgresPool(
            configuration, pool: bounds, logger: process.logger, observer: metrics)
        metrics.watch(pool, in: process.metrics)
        poolerCheck = PoolerCheck(configuration, isPooled: isPooled, logger: process.logger)
    }

    /// What probes whether the service can use its database.
    package func probe(_ needs: DatabaseNeeds) throws -> DatabaseProbe {
        let postgres = Self.probing(configuration, process)
        return DatabaseProbe(
            connection: try Self.connection(postgres, process), pool: pool,
            configuration: postgres, needs: needs)
    }

    /// One more connection outside the pool. To be run as a service.
    package func connection() throws -> PostgresPool {
        try Self.connection(Self.probing(configuration, process), process)
    }

    static func probing(
        _ configuration: PostgresConfiguration, _ process: ServiceProcess
    ) -> PostgresConfiguration {
        var postgres = configuration
        postgres.applicationName = process.name + "-probe"
        postgres.connectTimeout = probeConnectTimeout
        return postgres
    }

    static func connection(
        _ postgres: PostgresConfiguration, _ process: ServiceProcess
    ) throws -> PostgresPool {
        let bounds = try PoolConfiguration(
            minimumConnections: 1, maximumConnections: 1, outageBridge: .zero)
        // The service's readiness reports what it finds, and the pool reports the same failures.
        let silent = Logger(label: process.name) { _ in SwiftLogNoOpLogHandler() }
        return PostgresPool(postgres, pool: bounds, logger: silent)
    }
}
