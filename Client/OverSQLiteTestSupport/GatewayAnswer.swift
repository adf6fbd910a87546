import OverSQLite
import WireJSON

/// Writes answers in the protocol's format.
enum GatewayAnswer {
    static func upload(
        _ statuses: [(id: Int, answer: GatewayStore.Answer, table: String, pk: String)],
        schema: String, highest: Int, isReference: Bool
    ) -> String {
        let isRefused = statuses.contains { status in
            if case .invalid(let refusal) = status.answer { refusal.refusesBatch } else { false }
        }
        let texts = statuses.map { status in
            #"{"source_change_id":\#(status.id)"#
                + members(
                    status.answer, schema, status.table, status.pk, isReference: isReference) + "}"
        }
        return
            #"{"accepted":\#(!isRefused),"highest_server_seq":\#(highest),"statuses":[\#(texts.joined(separator: ","))]}"#
    }

    private static func members(
        _ answer: GatewayStore.Answer, _ schema: String, _ table: String, _ pk: String,
        isReference: Bool
    ) -> String {
        switch answer {
        case .applied(let version):
            return #","status":"applied""#
                + (version.map { #","new_server_version":\#($0)"# } ?? "")
        case .aborted: return #","status":"aborted""#
        case .materializeError(let version, let state, let culprit):
            let cause = ([meaning(state)] + (culprit.map { [$0] } ?? [])).joined(separator: ", ")
            let message = "\(schema).\(table) refused the row: SQLSTATE \(state) (\(cause))"
            return
                #","status":"materialize_error","new_server_version":\#(version),"message":\#(quoted(message))"#
        case .invalid(let refusal): return #","status":"invalid""# + members(refusal)
        case .conflict(let row):
            let writer =
                isReference
                ? ""
                : #","source_id":\#(quoted(row.source)),"source_change_id":\#(row.changeID)"#
                    + (row.source.isEmpty ? "" : #","ts":"\#(timestamp)""#)
            return """
                ,"status":"conflict","server_row":{"schema_name":"\(schema)",\
                "table_name":"\(table)","id":\(quoted(pk)),"server_version":\(row.version),\
                "deleted":\(row.isDeleted),"payload":\(row.payload ?? "null")\(writer)}
                """
        }
    }

    private static func members(_ refusal: GatewayRefusal) -> String {
        let message = refusal.message.map { #","message":\#(quoted($0))"# } ?? ""
        let details =
            switch refusal.details {
            case .error: #""error":\#(quoted(refusal.message ?? refusal.reason))"#
            case .missing(let labels): #""missing":[\#(labels.map(quoted).joined(separator: ","))]"#
            case .table(let schema, let table):
                #""schema":\#(quoted(schema)),"table":\#(quoted(table))"#
            }
        return #"\#(message),"invalid":{"reason":"\#(refusal.reason)","details":{\#(details)}}"#
    }

    private static func meaning(_ state: String) -> String {
        switch state {
        case "23502": "not null violation"
        case "23503": "foreign key violation"
        default: "unique violation"
        }
    }

    /// The time of every change: the in-memory gateway has no clock of its own.
    private static let timestamp = "2026-01-01T00:00:00.000000Z"

    static func page(
        _ entries: some Sequence<GatewayModel.Entry>, schema: String, hasMore: Bool, next: Int,
        until: Int
    ) -> String {
        let changes = entries.map { change($0, schema) }.joined(separator: ",")
        return
            #"{"changes":[\#(changes)],"has_more":\#(hasMore),"next_after":\#(next),"window_until":\#(until)}"#
    }

    private static func change(_ entry: GatewayModel.Entry, _ schema: String) -> String {
        """
        {"server_id":\(entry.sequence),"schema":"\(schema)","table":"\(entry.place.table)",\
        "op":"\(entry.operation)","pk":\(quoted(entry.place.pk)),\
        \(entry.payload.map { "\"payload\":\($0)," } ?? "")"server_version":\(entry.version),\
        "deleted":\(entry.payload == nil),"source_id":\(quoted(entry.source)),\
        "source_change_id":\(entry.changeID),"ts":"\(timestamp)"}
        """
    }

    static func quoted(_ text: String) -> String {
        var bytes: [UInt8] = []
        bytes.append(jsonString: text)
        return String(decoding: bytes, as: UTF8.self)
    }
}
