/// Why a change is `invalid`, in the real server's words.
struct GatewayRefusal: Error, Hashable {
    enum Details: Hashable {
        /// Repeats the message.
        case error
        case missing([String])
        case table(schema: String, String)
    }

    let reason: String
    let message: String?
    let details: Details

    init(_ reason: String, _ message: String?, _ details: Details = .error) {
        self.reason = reason
        self.message = message
        self.details = details
    }

    static func badPayload(_ message: String) -> GatewayRefusal { .init("bad_payload", message) }

    static func unregistered(_ schema: String, _ table: String) -> GatewayRefusal {
        .init(
            "unregistered_table", "table not registered \(schema).\(table)",
            .table(schema: schema, table))
    }

    static func forbidden(_ schema: String, _ table: String) -> GatewayRefusal {
        .init(
            "forbidden_table", "no role of this token may write to \(schema).\(table)",
            .table(schema: schema, table))
    }

    static func notAskedFor(_ schema: String, _ table: String) -> GatewayRefusal {
        .init(
            "forbidden_table",
            "\(schema).\(table) has integer keys, which this client does not ask for: "
                + "send the header Oversync-Key-Kinds: integer",
            .table(schema: schema, table))
    }

    static func rowMissing(_ schema: String, _ place: GatewayModel.Place) -> GatewayRefusal {
        .init(
            "row_missing",
            "no row \(schema).\(place.table) pk=\(place.pk) on the server; send it again with server_version 0"
        )
    }

    static func keyTaken(_ schema: String, _ place: GatewayModel.Place) -> GatewayRefusal {
        .init(
            "key_taken",
            "pk=\(place.pk) cannot be used in \(schema).\(place.table); choose another key")
    }

    static func batchTooLarge(_ count: Int, limit: Int) -> GatewayRefusal {
        .init("batch_too_large", "batch too large: changes=\(count) limit=\(limit)")
    }

    /// Whether this makes the whole answer say that it was not accepted (V10).
    var refusesBatch: Bool {
        ["unregistered_table", "forbidden_table", "batch_too_large"].contains(reason)
    }
}

/// A rejection that a test asked for.
struct PlannedRefusal: Sendable {
    let reason: String
    /// Whether a change of the row has arrived.
    var isMet = false
}
