import ServiceKit

/// Where administrators are served: `/admin` may have a port of its own, which devices do not
/// reach.
struct AdminDoor: Hashable, Sendable {
    static let hostSetting = Setting.host(
        "OVERSYNC_GATEWAY_ADMIN_HOST", "address that administrators are served on",
        default: "127.0.0.1")
    static let portSetting = Setting.integer(
        "OVERSYNC_GATEWAY_ADMIN_PORT",
        "port that administrators are served on; 0 lets the system choose, unset opens none",
        in: 0...65_535)
    static let onlySetting = Setting.flag(
        "OVERSYNC_GATEWAY_ADMIN_ONLY", "true closes /admin at the port that devices use")

    static let all: [any DescribedSetting] = [hostSetting, portSetting, onlySetting]

    let host: String
    /// Nil: there is none.
    let port: Int?
    /// Whether the port that devices use serves `/admin` too.
    let isPublic: Bool

    init(_ configuration: Configuration) throws(ConfigurationError) {
        host = try configuration.value(Self.hostSetting)
        port = try configuration.optional(Self.portSetting)
        isPublic = try !configuration.value(Self.onlySetting)
    }

    /// What the gateway can run with, and an operator should know of.
    static func warnings(_ configuration: Configuration) -> [String] {
        guard let door = try? AdminDoor(configuration) else { return [] }
        switch (door.port, door.isPublic) {
        case (.some, true):
            return [
                "\(portSetting.key) is set, and the port that devices use serves /admin, too; "
                    + "a later release closes it there: set \(onlySetting.key)=true, or false to "
                    + "keep it open"
            ].filter { _ in !configuration.isSet(onlySetting.key) }
        case (nil, false):
            return [
                "\(onlySetting.key) is true and \(portSetting.key) is not set: "
                    + "/admin is served nowhere"
            ] + open(door, configuration)
        default: return open(door, configuration)
        }
    }

    /// A door that certificates do not close.
    private static func open(_ door: AdminDoor, _ configuration: Configuration) -> [String] {
        let setting = ClientCertificateSettings.administrators.key
        guard configuration.isSet(setting), door.port == nil else { return [] }
        return [
            "\(setting) is set and \(portSetting.key) is not: "
                + "no certificate is asked for at /admin"
        ]
    }
}
