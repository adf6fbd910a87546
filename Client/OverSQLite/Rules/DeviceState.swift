/// What a device knows of itself and of how far it has read.
struct DeviceState: Hashable, Sendable {
    var userID: String?
    /// The name under which the server knows this device's changes.
    var sourceID: String
    var cursor: Int64
    var window: Int64
    var isHydrated: Bool
    var nextChangeID: Int64
    /// The server's history that all this belongs to; nil until it was asked for.
    var epoch: String?
    /// Why the feed is being read again; nil if it is not.
    var reread: RereadReason?
}
