import ServiceKit
import Sidecar

/// The names and passwords of the services' roles, as `oversync migrate` reads them.
enum RoleSettings {
    static let names: [ServiceRole: Setting<String>] = [
        .upload: name("OVERSYNC_UPLOAD_ROLE", .upload),
        .download: name("OVERSYNC_DOWNLOAD_ROLE", .download),
        .auth: name("OVERSYNC_AUTH_ROLE", .auth),
        .maintenance: name("OVERSYNC_MAINTENANCE_ROLE", .maintenance),
    ]
    static let passwords: [ServiceRole: Setting<String>] = [
        .upload: password("OVERSYNC_UPLOAD_ROLE_PASSWORD", .upload),
        .download: password("OVERSYNC_DOWNLOAD_ROLE_PASSWORD", .download),
        .auth: password("OVERSYNC_AUTH_ROLE_PASSWORD", .auth),
        .maintenance: password("OVERSYNC_MAINTENANCE_ROLE_PASSWORD", .maintenance),
    ]

    private static func name(_ key: String, _ purpose: ServiceRole) -> Setting<String> {
        .text(
            key,
            "PostgreSQL role for \(purpose.rawValue), created if it does not exist (default: the role in use, "
                + "initially \(purpose.defaultName))")
    }

    private static func password(_ key: String, _ purpose: ServiceRole) -> Setting<String> {
        .secret(
            key,
            "password of the role for \(purpose.rawValue), set only if Oversync created the role")
    }

    /// Everything that is wrong with them.
    static func problems(in configuration: Configuration) -> [ConfigurationError] {
        ServiceRole.allCases.flatMap { purpose in
            var problems = [passwords[purpose]?.problem(in: configuration)]
            do throws(ConfigurationError) { _ = try name(of: purpose, configuration) } catch {
                problems.append(error)
            }
            return problems.compactMap(\.self)
        }
    }

    private static func name(
        of purpose: ServiceRole, _ configuration: Configuration
    ) throws(ConfigurationError) -> RoleName? {
        guard let setting = names[purpose], let text = try configuration.optional(setting) else {
            return nil
        }
        guard let role = RoleName(text) else {
            throw ConfigurationError(
                key: setting.key, reason: "must be \(RoleName.rule), not \"\(text)\"")
        }
        return role
    }

    /// - Throws: `ConfigurationError` naming the key.
    static func request(_ configuration: Configuration) throws(ConfigurationError) -> RoleRequest {
        var entries: [ServiceRole: RoleRequest.Entry] = [:]
        for purpose in ServiceRole.allCases {
            guard let password = passwords[purpose] else { continue }
            var entry = RoleRequest.Entry(password: try configuration.optional(password))
            if let role = try name(of: purpose, configuration) { entry.name = role }
            entries[purpose] = entry
        }
        return RoleRequest(entries)
    }
}
