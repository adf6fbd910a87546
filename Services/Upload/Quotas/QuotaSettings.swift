import ServiceKit
import Sidecar

/// How much each user may have. All are off unless they are set.
enum QuotaSettings {
    static let rows = Setting.integer(
        UserQuotas.rowsKey, "rows that a user may have", in: 1...1_000_000_000, unit: "rows")
    static let bytes = Setting.integer(
        UserQuotas.bytesKey, "bytes that the rows of a user may have, as JSON",
        in: 1024...1 << 50, unit: "bytes")
    static let devices = Setting.integer(
        UserQuotas.devicesKey, "devices of a user that may write, without revoked ones",
        in: 1...1_000_000, unit: "devices")

    static let all: [any DescribedSetting] = [rows, bytes, devices]
}

extension Quotas {
    init(_ configuration: Configuration) throws(ConfigurationError) {
        self.init(
            rows: try configuration.optional(QuotaSettings.rows).map(Int64.init),
            bytes: try configuration.optional(QuotaSettings.bytes).map(Int64.init),
            devices: try configuration.optional(QuotaSettings.devices).map(Int64.init))
    }
}
