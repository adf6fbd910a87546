import ServiceKit

/// The keys of what keeps one user, device or address from hurting the others.
package struct LimitSettings: Sendable {
    static let requestRateSetting = Setting.integer(
        "OVERSYNC_RATE_REQUESTS",
        "requests of one user each second, four seconds' worth at once; 0: no limit",
        default: 500, in: 0...1_000_000, unit: "requests/s")
    static let byteRateSetting = Setting.integer(
        "OVERSYNC_RATE_BYTES",
        "bytes of one user each second, both ways, four seconds' worth at once; 0: no limit",
        default: 64 << 20, in: 0...(1 << 40), unit: "bytes/s")
    static let rejectedTokenSetting = Setting.integer(
        "OVERSYNC_RATE_REJECTED_TOKENS",
        "rejected tokens of one address each second, four seconds' worth at once; 0: no limit",
        default: 100, in: 0...1_000_000, unit: "tokens/s")

    static let bufferSetting = Setting.integer(
        "OVERSYNC_MAX_BUFFER_BYTES", "bytes of bodies and unread answers held at once",
        default: 256 << 20, in: 65_536...(1 << 40), unit: "bytes")
    static let userBufferSetting = Setting.integer(
        "OVERSYNC_MAX_USER_BUFFER_BYTES",
        "the part of them that one user may have, at most a quarter of what others leave",
        default: 64 << 20, in: 65_536...(1 << 40), unit: "bytes")
    static let stallSetting = Setting.integer(
        "OVERSYNC_STALLED_READER_SECONDS",
        "how long a client may take next to nothing of an answer; then its stream, or connection, "
            + "ends",
        default: 30, in: 1...600, unit: "seconds")

    static let watcherSetting = Setting.integer(
        "OVERSYNC_MAX_WATCHERS", "devices that may watch at once", default: 20_000,
        in: 0...1_000_000, unit: "watchers")
    static let userWatcherSetting = Setting.integer(
        "OVERSYNC_MAX_USER_WATCHERS", "watches of one user at once", default: 500,
        in: 1...1_000_000, unit: "watchers")
    static let deviceWatcherSetting = Setting.integer(
        "OVERSYNC_MAX_DEVICE_WATCHERS",
        "watches of one device at once; a further one ends its oldest", default: 4, in: 1...1000,
        unit: "watchers")
    static let pollSetting = Setting.integer(
        "OVERSYNC_MAX_LONG_POLLS", "long polls at once", default: 20_000, in: 0...1_000_000,
        unit: "polls")
    static let userPollSetting = Setting.integer(
        "OVERSYNC_MAX_USER_LONG_POLLS", "long polls of one user at once", default: 500,
        in: 1...1_000_000, unit: "polls")
    static let devicePollSetting = Setting.integer(
        "OVERSYNC_MAX_DEVICE_LONG_POLLS",
        "long polls of one device at once; a further one ends its oldest", default: 8,
        in: 1...1000, unit: "polls")

    static let connectionSetting = Setting.integer(
        "OVERSYNC_MAX_CONNECTIONS",
        "open connections; 0: as many as the file limit leaves room for",
        default: 0, in: 0...1_000_000, unit: "connections")
    static let addressConnectionSetting = Setting.integer(
        "OVERSYNC_MAX_ADDRESS_CONNECTIONS", "open connections of one address; 0: no limit",
        default: 20_000, in: 0...1_000_000, unit: "connections")

    static let all: [any DescribedSetting] = [
        requestRateSetting, byteRateSetting, rejectedTokenSetting, bufferSetting,
        userBufferSetting, stallSetting, watcherSetting, userWatcherSetting, deviceWatcherSetting,
        pollSetting, userPollSetting, devicePollSetting, connectionSetting,
        addressConnectionSetting,
    ]

    let requestsPerSecond: Int
    let bytesPerSecond: Int
    let rejectedTokensPerSecond: Int
    let bufferBytes: Int
    let userBufferBytes: Int
    let stalledReader: Duration
    let watchers: Seats.Limits
    let longPolls: Seats.Limits
    /// 0: derived from the file limit.
    let connections: Int
    /// 0: no limit.
    let addressConnections: Int

    init(_ configuration: Configuration) throws(ConfigurationError) {
        requestsPerSecond = try configuration.value(Self.requestRateSetting)
        bytesPerSecond = try configuration.value(Self.byteRateSetting)
        rejectedTokensPerSecond = try configuration.value(Self.rejectedTokenSetting)
        bufferBytes = try configuration.value(Self.bufferSetting)
        userBufferBytes = try configuration.value(Self.userBufferSetting)
        stalledReader = .seconds(try configuration.value(Self.stallSetting))
        watchers = Seats.Limits(
            total: try configuration.value(Self.watcherSetting),
            perUser: try configuration.value(Self.userWatcherSetting),
            perDevice: try configuration.value(Self.deviceWatcherSetting))
        longPolls = Seats.Limits(
            total: try configuration.value(Self.pollSetting),
            perUser: try configuration.value(Self.userPollSetting),
            perDevice: try configuration.value(Self.devicePollSetting))
        connections = try configuration.value(Self.connectionSetting)
        addressConnections = try configuration.value(Self.addressConnectionSetting)
    }
}
