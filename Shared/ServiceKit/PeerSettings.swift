import RPC

/// Which users of the system the services run as, where that is not one for all.
package enum PeerSettings {
    /// Who may call a service.
    ///
    /// - Parameters:
    ///   - service: as in the setting's name, such as `UPLOAD`.
    ///   - methods: the service's, by their full names.
    package static func callers(of service: String, _ methods: [String]) -> Setting<SocketPeers> {
        Setting(
            "OVERSYNC_\(service)_CALLERS",
            "numbers of the system's users that may call this service, with what they may call",
            allowed: "users, each with =* or =Method,…", fallback: .ownUser,
            defaultText: "own user, everything"
        ) { text throws(SettingProblem) in
            try peers(text, methods)
        }
    }

    /// As which users the services run that a process calls.
    package static let serviceUsers = Setting<ServiceUsers>(
        "OVERSYNC_SERVICE_USERS",
        "numbers of the system's users that the services run as, by service",
        allowed: "auth=…, upload=…, download=…", fallback: ServiceUsers(users: [:]),
        defaultText: "own user"
    ) { text throws(SettingProblem) in
        try ServiceUsers(text)
    }

    /// The bounds of calls to a service, which runs as the users that are configured.
    package static func limits(
        calling service: String, _ configuration: Configuration
    ) throws(ConfigurationError) -> RPCLimits {
        var limits = RPCLimits()
        limits.peers = try configuration.value(serviceUsers).peers(of: service)
        return limits
    }

    private static func peers(
        _ text: String, _ methods: [String]
    ) throws(SettingProblem) -> SocketPeers {
        var full: [Substring: String] = [:]
        for method in methods + ProcessRPC.names {
            full[method.split(separator: ".").last ?? ""] = method
        }
        var grants: [UInt32: SocketPeers.Methods] = [:]
        for entry in text.split(separator: " ") {
            let parts = entry.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let user = try number(parts[0])
            var granted = SocketPeers.Methods.ordinary
            if parts.count > 1 {
                var names: Set<String> = []
                for name in parts[1].split(separator: ",", omittingEmptySubsequences: false)
                where name != "*" {
                    guard let name = full[name] else {
                        throw SettingProblem(
                            "names \(String(name).debugDescription), which is not among "
                                + full.keys.sorted().joined(separator: ", "))
                    }
                    names.insert(name)
                }
                granted = parts[1] == "*" ? .all : .only(names)
            }
            guard grants.updateValue(granted, forKey: user) == nil else {
                throw SettingProblem("lists user \(user) twice")
            }
        }
        guard !grants.isEmpty else { throw SettingProblem("lists no user") }
        return SocketPeers(grants)
    }

    fileprivate static func number(_ text: Substring) throws(SettingProblem) -> UInt32 {
        guard let number = UInt32(text), number < .max else {
            throw SettingProblem(
                "has \(String(text).debugDescription) where the number of a user must stand")
        }
        return number
    }
}

/// The users that services run as.
package struct ServiceUsers: Hashable, Sendable, CustomStringConvertible {
    private static let services = ["auth", "upload", "download"]

    private let users: [String: Set<UInt32>]

    fileprivate init(users: [String: Set<UInt32>]) { self.users = users }

    fileprivate init(_ text: String) throws(SettingProblem) {
        var users: [String: Set<UInt32>] = [:]
        for entry in text.split(separator: " ") {
            let parts = entry.split(separator: "=", maxSplits: 1)
            guard parts.count == 2, Self.services.contains(String(parts[0])) else {
                throw SettingProblem(
                    "must have \(Self.services.map { "\($0)=…" }.joined(separator: ", ")), "
                        + "not \(String(entry).debugDescription)")
            }
            var numbers: Set<UInt32> = []
            for text in parts[1].split(separator: ",", omittingEmptySubsequences: false) {
                numbers.insert(try PeerSettings.number(text))
            }
            guard users.updateValue(numbers, forKey: String(parts[0])) == nil else {
                throw SettingProblem("names \(parts[0]) twice")
            }
        }
        self.users = users
    }

    /// Who may answer in the name of a service; this process's own user if nothing is said of it.
    package func peers(of service: String) -> SocketPeers {
        users[service].map { users in
            SocketPeers(Dictionary(uniqueKeysWithValues: users.map { ($0, .all) }))
        } ?? .ownUser
    }

    package var description: String {
        users.sorted { $0.key < $1.key }.map { service, users in
            "\(service)=\(users.sorted().map { "\($0)" }.joined(separator: ","))"
        }.joined(separator: " ")
    }
}
