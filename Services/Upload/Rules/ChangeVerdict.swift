import Model

/// What became of one change: one entry of the answer's `statuses`.
package enum ChangeVerdict: Hashable, Sendable {
    /// It is in the log. The version is the one that it gave its row, also when it is repeated; nil
    /// for a delete of a row that never existed.
    case applied(version: RowVersion?)
    /// The row is at another version than the device edited.
    case conflict(ServerRow)
    case invalid(Rejection)
    /// The business table refused the row; the version is the one it would have had.
    case materializeError(version: RowVersion, message: String)
    /// Another change of an all-or-nothing upload could not be applied.
    case aborted

    /// The wire's name for it.
    package var status: String {
        switch self {
        case .applied: "applied"
        case .conflict: "conflict"
        case .invalid: "invalid"
        case .materializeError: "materialize_error"
        case .aborted: "aborted"
        }
    }
}

/// A row as the server has it, in the answer to a conflict.
package struct ServerRow: Hashable, Sendable {
    package let table: TableName
    package let key: RowKey
    package let version: RowVersion
    package let isDeleted: Bool
    /// JSON as the log has it; nil when the row is deleted.
    package internal(set) var payload: [UInt8]?
    package let device: String
    package let changeID: ChangeID
    /// RFC 3339; empty where compaction has removed the row's last change, and its time with it.
    package let timestamp: String
    /// The sequence of the row's change if the upload at hand has written it: the payload is then
    /// as it was sent.
    package let ownSequence: Sequence64?

    package init(
        table: TableName, key: RowKey, version: RowVersion, isDeleted: Bool, payload: [UInt8]?,
        device: String, changeID: ChangeID, timestamp: String, ownSequence: Sequence64? = nil
    ) {
        self.table = table
        self.key = key
        self.version = version
        self.isDeleted = isDeleted
        self.payload = payload
        self.device = device
        self.changeID = changeID
        self.timestamp = timestamp
        self.ownSequence = ownSequence
    }
}
