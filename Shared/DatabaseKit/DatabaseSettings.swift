import Postgres
import ServiceKit

/// The keys of a service's own connection pool. Each service names its keys after itself, so that one
/// environment file can hold them all: `OVERSYNC_UPLOAD_POOL_MAX`, `OVERSYNC_DOWNLOAD_POOL_MAX`, …
package struct DatabaseSettings: Sendable {
    package let minimumConnections: Setting<Int>
    package let maximumConnections: Setting<Int>
    package let acquireTimeout: Setting<Int>
    package let statementTimeout: Setting<Int>
    package let pooler: Setting<Bool>

    /// - Parameters:
    ///   - service: as in the keys, such as `UPLOAD`.
    ///   - maximum: connections that suit this service by default.
    ///   - statementSeconds: how long one of its statements may take by default.
    package init(service: String, maximum: Int, statementSeconds: Int) {
        let prefix = "OVERSYNC_\(service)_"
        minimumConnections = .integer(
            prefix + "POOL_MIN", "connections kept open when idle", default: 2, in: 0...1000)
        maximumConnections = .integer(
            prefix + "POOL_MAX", "most connections at once", default: maximum, in: 1...1000)
        acquireTimeout = .integer(
            prefix + "POOL_WAIT_MS", "longest wait for a free connection before 503", default: 5000,
            in: 10...60_000, unit: "ms")
        statementTimeout = .integer(
            prefix + "STATEMENT_TIMEOUT_MS", "longest time of one statement",
            default: statementSeconds * 1000, in: 100...600_000, unit: "ms")
        pooler = .flag(
            "OVERSYNC_DATABASE_POOLER",
            "true behind a transaction pooler (pgbouncer): no named statements, no session settings"
        )
    }

    /// What a service with a pool reads for it.
    package var all: [any DescribedSetting] {
        [
            CommonSettings.databaseURL, minimumConnections, maximumConnections, acquireTimeout,
            statementTimeout, pooler,
        ]
    }

    /// What each session is set to, beside the timeout.
    ///
    /// Values are stored and read back as text: every session must render times and bytes alike. Compiling a plan
    /// takes longer than any of these statements. A plan that was made while a table had one page would read all of
    /// it, and stay when it has thousands: the checks of foreign keys, too, are planned once a session.
    package static let session = [
        "TimeZone": "UTC", "DateStyle": "ISO", "bytea_output": "hex", "jit": "off",
        "plan_cache_mode": "force_generic_plan", "enable_seqscan": "off",
    ]

    /// Builds the service's pool from its keys.
    package func pool(_ process: ServiceProcess) throws -> PostgresPool {
        let configuration = process.configuration
        let url = try configuration.value(CommonSettings.databaseURL)
        let minimum = try configuration.value(minimumConnections)
        let maximum = try configuration.value(maximumConnections)
        guard minimum <= maximum else {
            throw ConfigurationError(
                key: minimumConnections.key,
                reason: "is \(minimum), more than \(maximumConnections.key) (\(maximum))")
        }
        var postgres: PostgresConfiguration
        do {
            postgres = try PostgresConfiguration(url: url, applicationName: process.name)
        } catch {
            throw ConfigurationError(
                key: CommonSettings.databaseURL.key,
                reason: "is not a PostgreSQL connection string (postgresql://user@host/database)")
        }
        let isPooled = try configuration.value(pooler)
        let timeout = try configuration.value(statementTimeout)
        postgres.sessionSettings =
            isPooled ? [:] : Self.session.merging(["statement_timeout": "\(timeout)"]) { $1 }
        postgres.usesNamedStatements = !isPooled
        let bounds = try PoolConfiguration(
            minimumConnections: minimum, maximumConnections: maximum,
            acquireTimeout: .milliseconds(try configuration.value(acquireTimeout)))
        let metrics = PoolMetrics(process.metrics, service: process.name)
        let pool = PostgresPool(postgres, pool: bounds, logger: process.logger, observer: metrics)
        metrics.watch(pool, in: process.metrics)
        return pool
    }
}
