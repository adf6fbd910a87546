import Foundation
import Logging
import Model
import RPC

/// The keys that every service reads.
package enum CommonSettings {
    package static let runDirectory = Setting.folder(
        "OVERSYNC_RUN", "directory of the services' sockets, one subdirectory a service",
        default: "/run/oversync")
    package static let replica = Setting<String>(
        "OVERSYNC_REPLICA", "this replica's name, unique within its service on this host",
        allowed: ReplicaName.allowed, fallback: ReplicaName.ofThisHost, defaultText: "host name"
    ) { text throws(SettingProblem) in
        guard ReplicaName.isValid(text) else {
            throw SettingProblem(
                "must be \(ReplicaName.allowed), not starting with a dot, not "
                    + text.debugDescription)
        }
        return text
    }
    package static let adminHost = Setting.host(
        "OVERSYNC_ADMIN_HOST", "address of the admin listener (/live, /ready, /metrics)",
        default: "127.0.0.1")
    package static let adminPort = Setting.integer(
        "OVERSYNC_ADMIN_PORT", "port of the admin listener; 0 lets the system choose",
        default: 9090, in: 0...65_535)
    package static let logLevel = Setting<Logger.Level>(
        "OVERSYNC_LOG_LEVEL", "the least severe lines that are logged", allowed: levels,
        fallback: .info
    ) { text throws(SettingProblem) in
        guard let level = Logger.Level(rawValue: text.lowercased()) else {
            throw SettingProblem("must be one of \(levels), not \(text.debugDescription)")
        }
        return level
    }
    package static let logSecret = Setting.secret(
        "OVERSYNC_LOG_SECRET",
        "keys the hashes of users in logs; the same for all services, and for oversync users hash",
        minimumBytes: 16)
    package static let idlePolls = Setting.integer(
        "OVERSYNC_LOG_IDLE_POLLS", "of this many downloads without news, one is logged", default: 1,
        in: 1...1_000_000, unit: "downloads")
    /// The gateway refuses what is over it, Download serves no more.
    package static let maximumPageRows = Setting.integer(
        "OVERSYNC_MAX_PAGE_ROWS", "most rows of one page", default: WireLimits().rowsPerPage,
        in: 1...10_000, unit: "rows")
    package static let databaseURL = Setting.secret(
        "OVERSYNC_DATABASE_URL", "PostgreSQL connection string of this service's role",
        isRequired: true)
    package static let databasePassword = Setting.secret(
        "OVERSYNC_DATABASE_PASSWORD",
        "password of the role; it overrides the connection string's, and its file is read for each "
            + "new connection")

    /// What every service reads.
    package static let all: [any DescribedSetting] =
        [runDirectory, replica, adminHost, adminPort, logLevel, logSecret, ParentWatch.setting]
        + ExportSettings.all

    private static let levels = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
}

/// Names of replicas: they are file names in the directory of a service's sockets.
package enum ReplicaName {
    static let allowed = "1 to \(SocketPath.maximumReplicaBytes) of A-Z a-z 0-9 . _ -"

    static func isValid(_ name: String) -> Bool { SocketPath.isValid(replica: name) }

    /// The name of this host, which in a container is the container's: replicas that are scaled need no setting.
    package static let ofThisHost: String = {
        var name = [CChar](repeating: 0, count: maximumHostBytes + 1)
        guard gethostname(&name, name.count) == 0 else { return of(host: "") }
        let bytes = name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        return of(host: String(decoding: bytes, as: UTF8.self))
    }()

    /// Longest name of a host, in bytes (POSIX's HOST_NAME_MAX is no longer than this).
    private static let maximumHostBytes = 255

    /// - Returns: the host's name, made a valid name of a replica.
    static func of(host: String) -> String {
        let bytes = host.utf8.map { SocketPath.isAllowed($0) ? $0 : UInt8(ascii: "-") }
            .drop { $0 == UInt8(ascii: ".") }
            .prefix(SocketPath.maximumReplicaBytes)
        return bytes.isEmpty ? "1" : String(decoding: bytes, as: UTF8.self)
    }
}
