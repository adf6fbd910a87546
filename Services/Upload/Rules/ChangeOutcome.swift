import Model

/// What became of one change: one entry of the answer's `statuses`.
package enum ChangeOutcome: Hashable, Sendable {
    /// It is in the log. The version is the one that it gave its row, also when it is repeated; nil
    /// for a delete of a row that never existed.
    case applied(version: RowVersion?)
    /// The row is at another version than the device edited.
    case conflict(ServerRow)
    case invalid(Refusal)
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
    /// JSON as it was sent; nil when the row is deleted.
    package let payload: [UInt8]?
    package let device: String
    package let changeID: ChangeID
    /// RFC 3339; empty where compaction has removed the row's last change, and its time with it.
    package let timestamp: String

    package init(
        table: TableName, key: RowKey, version: RowVersion, isDeleted: Bool, payload: [UInt8]?,
        device: String, changeID: ChangeID, timestamp: String
    ) {
        self.table = table
        self.key = key
        self.version = version
        self.isDeleted = isDeleted
        self.payload = payload
        self.device = device
        self.changeID = changeID
        self.timestamp = timestamp
    }
}

/// Why a change is `invalid`.
package struct Refusal: Hashable, Sendable {
    /// The wire's reason codes.
    package enum Reason: String, Sendable {
        case foreignKeyMissing = "fk_missing"
        case badPayload = "bad_payload"
        case unregisteredTable = "unregistered_table"
        case forbiddenTable = "forbidden_table"
        case rowMissing = "row_missing"
        case keyTaken = "key_taken"
        case batchTooLarge = "batch_too_large"
    }

    package enum Details: Hashable, Sendable {
        case error
        case missing([String])
        case table(TableName)
    }

    package let reason: Reason
    package let message: String?
    package let details: Details

    package static func badPayload(_ message: String) -> Refusal {
        Refusal(reason: .badPayload, message: message, details: .error)
    }

    package static func unregistered(_ table: TableName) -> Refusal {
        Refusal(
            reason: .unregisteredTable, message: "table not registered \(table)",
            details: .table(table))
    }

    package static func forbidden(_ table: TableName) -> Refusal {
        Refusal(
            reason: .forbiddenTable,
            message: "no role of this token may write to \(table)", details: .table(table))
    }

    package static func foreignKeyMissing(_ labels: [String]) -> Refusal {
        Refusal(reason: .foreignKeyMissing, message: nil, details: .missing(labels))
    }

    package static func rowMissing(_ table: TableName, _ key: RowKey) -> Refusal {
        Refusal(
            reason: .rowMissing,
            message:
                "no row \(table) pk=\(key.text) on the server; send it again with server_version 0",
            details: .error)
    }

    package static func keyTaken(_ table: TableName, _ key: RowKey) -> Refusal {
        Refusal(
            reason: .keyTaken,
            message: "pk=\(key.text) cannot be used in \(table); choose another key",
            details: .error)
    }

    package static func answerFull(limit: Int) -> Refusal {
        Refusal(
            reason: .batchTooLarge,
            message:
                "batch too large: its conflicts have rows of more than \(limit) bytes; "
                + "send fewer changes",
            details: .error)
    }

    package static func batchTooLarge(changes: Int, limit: Int) -> Refusal {
        Refusal(
            reason: .batchTooLarge, message: "batch too large: changes=\(changes) limit=\(limit)",
            details: .error)
    }
}
