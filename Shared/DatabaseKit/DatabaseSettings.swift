import Postgres
import ServiceKit

/// The keys of a service's own connection pool. Each service names its keys after itself, so that one
/// environment file can hold them all: `OVERSYNC_UPLOAD_POOL_MAX`, `OVERSYNC_DOWNLOAD_POOL_MAX`, …
package struct DatabaseSettings: Sendable {
    package let minimumConnections: Setting<Int>
    package let maximumConnections: Setting<Int>
    package let acquireTimeout: Setting<Int>
    package let idleTime: Setting<Int>
    package let lifetime: Setting<Int>
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
        idleTime = .integer(
            prefix + "POOL_IDLE_SECONDS",
            "time after which a connection above POOL_MIN that nobody uses is closed",
            default: 300, in: 1...86_400, unit: "seconds")
        lifetime = .integer(
            prefix + "POOL_LIFETIME_SECONDS", "age at which a connection is replaced",
            default: 1800, in: 10...604_800, unit: "seconds")
        statementTimeout = .integer(
            prefix + "STATEMENT_TIMEOUT_MS", "longest time of one statement",
            default: statementSeconds * 1000, in: 100...600_000, unit: "ms")
        pooler = .flag(
            "OVERSYNC_DATABASE_POOLER",
            "true behind a transaction pooler (pgbouncer): no named statements, settings by transaction"
        )
    }

    /// What a service with a pool reads for it.
    package var all: [any DescribedSetting] {
        [
            CommonSettings.databaseURL, CommonSettings.databasePassword, minimumConnections,
            maximumConnections, acquireTimeout, idleTime, lifetime, statementTimeout, pooler,
        ]
    }

    /// What each session is set to, in addition to the timeout.
    package static let session = PostgresConfiguration.serviceSession

    /// Everything that is wrong with the settings together. Connects nowhere.
    package func problems(in configuration: Configuration) -> [ConfigurationError] {
        var problems: [ConfigurationError] = []
        do throws(ConfigurationError) {
            _ = try bounds(configuration)
        } catch {
            problems.append(error)
        }
        do throws(ConfigurationError) {
            let key = CommonSettings.databaseURL.key
            problems += try target(configuration, "").flaws().map {
                ConfigurationError(key: key, reason: $0)
            }
        } catch {
            problems.append(error)
        }
        return problems
    }

    /// The service's way to its database. Nothing is connected yet.
    package func database(_ process: ServiceProcess) throws(ConfigurationError) -> ServiceDatabase {
        let configuration = process.configuration
        let bounds = try bounds(configuration)
        let isPooled = try configuration.value(pooler)
        var postgres = try target(configuration, process.name)
        let password = try DatabasePassword(configuration, logger: process.logger) {
            () throws(ConfigurationError) in
            try target(configuration, "").keywords["password"]
        }
        postgres.password = { password.current() }
        postgres.serve(isPooled: isPooled)
        postgres.sessionSettings["statement_timeout"] =
            "\(try configuration.value(statementTimeout))"
        return ServiceDatabase(process, postgres, bounds, isPooled: isPooled)
    }

    func bounds(
        _ configuration: Configuration
    ) throws(ConfigurationError) -> PoolConfiguration {
        let minimum = try configuration.value(minimumConnections)
        let maximum = try configuration.value(maximumConnections)
        guard minimum <= maximum else {
            throw ConfigurationError(
                key: minimumConnections.key,
                reason: "is \(minimum), more than \(maximumConnections.key) (\(maximum))")
        }
        let timeout = try configuration.value(acquireTimeout)
        let (idle, age) = (
            try configuration.value(idleTime), try configuration.value(lifetime)
        )
        do {
            return try PoolConfiguration(
                minimumConnections: minimum, maximumConnections: maximum,
                maximumLifetime: .seconds(age), maximumIdleTime: .seconds(idle),
                acquireTimeout: .milliseconds(timeout))
        } catch {
            throw ConfigurationError(key: maximumConnections.key, reason: "\(error)")
        }
    }

    private func target(
        _ configuration: Configuration, _ application: String
    ) throws(ConfigurationError) -> PostgresConfiguration {
        try CommonSettings.postgres(
            try configuration.value(CommonSettings.databaseURL), application)
    }
}

extension CommonSettings {
    /// - Parameter key: of the setting that the connection string is of.
    /// - Throws: a `ConfigurationError` that does not quote the connection string: it may hold a password.
    static func postgres(
        _ url: String, _ application: String, key: String = databaseURL.key
    ) throws(ConfigurationError) -> PostgresConfiguration {
        do {
            return try PostgresConfiguration(url: url, applicationName: application)
        } catch {
            throw ConfigurationError(
                key: key,
                reason: "is not a PostgreSQL connection string "
                    + "(postgresql://user:password@host:5432/database); special characters in a "
                    + "user's name or password must be percent-encoded")
        }
    }
}

extension PostgresConfiguration {
    /// Makes its sessions those of a service.
    ///
    /// - Parameter isPooled: the database is behind a transaction pooler.
    package mutating func serve(isPooled: Bool) {
        sessionSettings = DatabaseSettings.session
        // Not as start-up options: pgbouncer refuses those, or drops them in silence, in session mode too.
        settingsDelivery = isPooled ? .eachTransaction : .afterConnect
        usesNamedStatements = !isPooled
    }
}
