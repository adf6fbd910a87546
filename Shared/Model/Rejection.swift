/// Why one change is rejected as `invalid`.
package struct Rejection: Error, Hashable, Sendable {
    /// The wire's reason codes.
    package enum Reason: String, CaseIterable, Sendable {
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

    package static func badPayload(_ message: String) -> Rejection {
        Rejection(reason: .badPayload, message: message, details: .error)
    }

    package static func unregistered(_ table: TableName) -> Rejection {
        Rejection(
            reason: .unregisteredTable, message: "table not registered \(table)",
            details: .table(table))
    }

    package static func forbidden(_ table: TableName) -> Rejection {
        Rejection(
            reason: .forbiddenTable,
            message: "no role of this token may write to \(table)", details: .table(table))
    }

    /// The client does not know such keys, or has not said so.
    package static func notAskedFor(_ kind: KeyKind, of table: TableName) -> Rejection {
        Rejection(
            reason: .forbiddenTable,
            message: "\(table) has \(kind.rawValue) keys, which this client does not ask for: "
                + "send the header Oversync-Key-Kinds: \(kind.rawValue)",
            details: .table(table))
    }

    package static func foreignKeyMissing(_ labels: [String]) -> Rejection {
        Rejection(reason: .foreignKeyMissing, message: nil, details: .missing(labels))
    }

    package static func rowMissing(_ table: TableName, _ key: RowKey) -> Rejection {
        Rejection(
            reason: .rowMissing,
            message:
                "no row \(table) pk=\(key.text) on the server; send it again with server_version 0",
            details: .error)
    }

    package static func keyTaken(_ table: TableName, _ key: RowKey) -> Rejection {
        Rejection(
            reason: .keyTaken,
            message: "pk=\(key.text) cannot be used in \(table); choose another key",
            details: .error)
    }

    package static func answerFull(limit: Int) -> Rejection {
        Rejection(
            reason: .batchTooLarge,
            message:
                "batch too large: its conflicts have rows of more than \(limit) bytes; "
                + "send fewer changes",
            details: .error)
    }

    package static func batchTooLarge(changes: Int, limit: Int) -> Rejection {
        Rejection(
            reason: .batchTooLarge, message: "batch too large: changes=\(changes) limit=\(limit)",
            details: .error)
    }
}
