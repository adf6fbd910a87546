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
    /// The latest change of that history that an answer named; nil if none has.
    var history: HistoryPair?
    /// When the device last began to reread the log because the server's history was another one,
    /// in seconds since 1970; 0 if it never did.
    var forkedAt: Double
    /// The tables that the user may read and that were read completely up to the cursor; nil until
    /// the server was asked.
    var tables: TablesFingerprint?
    /// While tables that were opened are read alone: how far all others are read. 0 otherwise.
    var resumeAt: Int64 = 0
}
