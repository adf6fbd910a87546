import Logging
import Model

/// The keys that every service reads.
package enum CommonSettings {
    package static let runDirectory = Setting.text(
        "OVERSYNC_RUN", "directory of the services' sockets, one subdirectory a service",
        default: "/run/oversync")
    package static let replica = Setting.text(
        "OVERSYNC_REPLICA", "this replica's name, unique within its service on this host",
        default: "1")
    package static let adminHost = Setting.text(
        "OVERSYNC_ADMIN_HOST", "address of the admin listener (/live, /ready, /metrics)",
        default: "127.0.0.1")
    package static let adminPort = Setting.integer(
        "OVERSYNC_ADMIN_PORT", "port of the admin listener; 0 lets the system choose",
        default: 9090, in: 0...65_535)
    package static let logLevel = Setting.text(
        "OVERSYNC_LOG_LEVEL", "trace, debug, info, notice, warning, error or critical",
        default: "info")
    /// The gateway refuses what is over it, Download serves no more.
    package static let maximumPageRows = Setting.integer(
        "OVERSYNC_MAX_PAGE_ROWS", "most rows of one page", default: WireLimits().rowsPerPage,
        in: 1...10_000, unit: "rows")
    package static let databaseURL = Setting.secret(
        "OVERSYNC_DATABASE_URL", "PostgreSQL connection string of this service's role")

    /// What every service reads.
    package static let all: [any DescribedSetting] = [
        runDirectory, replica, adminHost, adminPort, logLevel, ParentWatch.setting,
    ]

    /// The log level, checked.
    package static func level(_ configuration: Configuration) throws(ConfigurationError)
        -> Logger.Level
    {
        let text = try configuration.value(logLevel)
        guard let level = Logger.Level(rawValue: text.lowercased()) else {
            throw ConfigurationError(
                key: logLevel.key, reason: "must be one of \(logLevel.help), not \"\(text)\"")
        }
        return level
    }
}
