import Postgres
import ServiceKit

extension DatabaseSettings {
    /// Connections of another role than the service's, for work outside its calls. To be run as a
    /// service.
    ///
    /// - Parameters:
    ///   - url: names its connection string.
    ///   - purpose: ends the name of its sessions.
    ///   - connections: the most at once.
    package func pool(
        _ url: Setting<String>, password: Setting<String>, for purpose: String,
        connections: Int, _ process: ServiceProcess
    ) throws -> PostgresPool {
        let configuration = process.configuration
        var postgres = try CommonSettings.postgres(
            try configuration.value(url), "\(process.name)-\(purpose)", key: url.key)
        let given = postgres.keywords["password"]
        postgres.password = {
            // A file is read again for each connection. One that cannot be read is refused there.
            (try? configuration.optional(password)) ?? given
        }
        postgres.serve(isPooled: try configuration.value(pooler))
        // Each piece of work bounds itself, and may read whole tables.
        postgres.sessionSettings["statement_timeout"] = "0"
        postgres.sessionSettings["enable_seqscan"] = "on"
        let bounds = try PoolConfiguration(
            minimumConnections: 0, maximumConnections: connections, outageBridge: .zero)
        return PostgresPool(postgres, pool: bounds, logger: process.logger)
    }

    /// What is wrong with a connection string of another role. Connects nowhere.
    package static func problems(
        of url: Setting<String>, in configuration: Configuration
    ) -> [ConfigurationError] {
        do throws(ConfigurationError) {
            guard let text = try configuration.optional(url) else { return [] }
            return try CommonSettings.postgres(text, "", key: url.key).flaws().map {
                ConfigurationError(key: url.key, reason: $0)
            }
        } catch {
            return [error]
        }
    }
}
