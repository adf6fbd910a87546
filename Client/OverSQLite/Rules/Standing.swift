/// Where the server says that this device stands: its answer to `/sync/bootstrap`.
struct Standing: Hashable, Sendable {
    /// Whether the server has ever had a change of this device.
    var isKnownSource: Bool
    /// The lowest change id that the server has not seen of this device.
    var nextChangeID: Int64
    /// The last sequence of the user's feed.
    var highest: Int64
    /// The identity of the server's history.
    var epoch: String

    /// What the standing means for a device that believes otherwise.
    enum Finding: Hashable {
        case asBefore
        /// The server knows changes that this device has not made: its database is an older copy
        /// (P7).
        case deviceRestored
        /// The server tells another history, or has lost the end of its own (P7).
        case newHistory
    }

    func compare(with state: DeviceState) -> Finding {
        if let epoch = state.epoch, epoch != self.epoch { return .newHistory }
        if state.cursor > highest { return .newHistory }
        if isKnownSource, nextChangeID > state.nextChangeID { return .deviceRestored }
        return .asBefore
    }
}

extension Standing: Decodable {
    enum CodingKeys: String, CodingKey {
        case isKnownSource = "known_source"
        case nextChangeID = "next_change_id"
        case highest = "highest_server_seq"
        case epoch
    }
}

/// Why a device reads the feed again.
public enum RereadReason: String, Sendable, Hashable {
    /// Deletes that this device had yet to hear of are no longer kept: it was away for too long.
    case historyPruned = "history_pruned"
    /// The server was restored from a backup, or its database is another one.
    case newHistory = "new_history"
    /// This database is an older copy: the server has changes of this device that it does not
    /// remember.
    case deviceRestored = "device_restored"
}

/// What came of reading the feed again.
public struct RereadReport: Sendable, Hashable {
    /// Why it was read again.
    public let reason: RereadReason
    /// Rows that the server no longer had, or had only in an older version, and that are sent
    /// again.
    public let resentRows: Int
    /// Rows that are gone here because the server has deleted them meanwhile.
    public let removedRows: Int
}
