import Postgres
import ServiceKit

/// A service's way to a standby of its database: a pool like that for the primary, and a connection
/// next to it that checks what the standby is.
package struct StandbyDatabase: Sendable {
    /// Longest wait for a connection: the primary answers what a standby has no room for.
    static let patience: Duration = .seconds(1)
    /// How long a standby has to stop what was cancelled or is late. The primary answers the same
    /// request after that.
    package static let grace: Duration = .milliseconds(500)

    /// Where it is, without credentials.
    package let name: String
    package let pool: PostgresPool
    /// To be run as a service, like the pool.
    package let connection: PostgresPool
    /// Most connections of the pool.
    package let connections: Int
}

extension PostgresConfiguration {
    /// Sets what each connection of a service to a standby has.
    ///
    /// - Parameter isPooled: a pooler stands before it that keeps no sessions.
    package mutating func serveStandby(isPooled: Bool) {
        serve(isPooled: isPooled)
        interruptionGrace = StandbyDatabase.grace
    }
}

extension DatabaseSettings {
    /// The standbys that a setting names, by connection strings with white space between them.
    /// Nothing is connected yet.
    package func standbys(
        _ setting: Setting<String>, _ process: ServiceProcess
    ) throws(ConfigurationError) -> [StandbyDatabase] {
        let configuration = process.configuration
        var bounds = try bounds(configuration)
        bounds.acquireTimeout = StandbyDatabase.patience
        bounds.outageBridge = .zero
        let isPooled = try configuration.value(pooler)
        let timeout = "\(try configuration.value(statementTimeout))"
        var standbys: [StandbyDatabase] = []
        for var postgres in try targets(setting, configuration, process.name) {
            let given = postgres.keywords["password"]
            let password = try DatabasePassword(configuration, logger: process.logger) {
                () throws(ConfigurationError) in given
            }
            postgres.password = { password.current() }
            postgres.serveStandby(isPooled: isPooled)
            postgres.sessionSettings["statement_timeout"] = timeout
            do {
                standbys.append(
                    StandbyDatabase(
                        name: "\(postgres)",
                        pool: PostgresPool(postgres, pool: bounds, logger: process.logger),
                        connection: try ServiceDatabase.connection(
                            ServiceDatabase.probing(postgres, process), process),
                        connections: bounds.maximumConnections))
            } catch {
                throw ConfigurationError(key: setting.key, reason: "\(error)")
            }
        }
        return standbys
    }

    /// Everything that is wrong with a setting that names standbys. Connects nowhere.
    package func standbyProblems(
        _ setting: Setting<String>, in configuration: Configuration
    ) -> [ConfigurationError] {
        do throws(ConfigurationError) {
            return try targets(setting, configuration, "").flatMap { $0.flaws() }.map {
                ConfigurationError(key: setting.key, reason: $0)
            }
        } catch {
            return [error]
        }
    }

    private func targets(
        _ setting: Setting<String>, _ configuration: Configuration, _ application: String
    ) throws(ConfigurationError) -> [PostgresConfiguration] {
        var targets: [PostgresConfiguration] = []
        let text = try configuration.optional(setting) ?? ""
        for url in text.split(whereSeparator: \.isWhitespace) {
            guard url.hasPrefix("postgresql://") || url.hasPrefix("postgres://") else {
                throw ConfigurationError(
                    key: setting.key,
                    reason: "must be connection strings of the form "
                        + "postgresql://user@host:5432/database, with spaces between them")
            }
            targets.append(
                try CommonSettings.postgres(String(url), application, key: setting.key))
        }
        return targets
    }
}
