/// What a device knows about itself and how far it has read the log.
struct DeviceState: Hashable, Sendable {
    var userID: String?
    /// The name under which the server knows this device.
    var sourceID: String
    var cursor: Int64
    var window: Int64
    var isHydrated: Bool
    var nextChangeID: Int64
    /// The epoch that the cursor and the versions belong to; nil until the server was asked.
    var epoch: String?
    /// Why the log is being reread; nil if it is not.
    var reread: RereadReason?
}
