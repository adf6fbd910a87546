import WireJSON

/// JSON as Go's encoder and decoder have it.
enum ReferenceJSON {
    /// nil: no upload.
    static func changes(_ body: [UInt8]) -> [ReferenceTables.Change]? {
        body.withUnsafeBufferPointer { bytes in
            var reader = JSONReader(bytes)
            var changes: [ReferenceTables.Change] = []
            do throws(JSONError) {
                try reader.readObject { reader, key throws(JSONError) in
                    guard reader.key(key, is: "changes"), try reader.peek() != .null else {
                        _ = try reader.skipValue()
                        return
                    }
                    try reader.readArray { reader throws(JSONError) in
                        changes.append(try change(&reader))
                    }
                }
            } catch { return nil }
            return changes
        }
    }

    private static func change(
        _ reader: inout JSONReader
    ) throws(JSONError) -> ReferenceTables.Change {
        var change = ReferenceTables.Change()
        try reader.readObject { reader, key throws(JSONError) in
            if reader.key(key, is: "source_change_id") {
                change.changeID = try reader.readInt64()
            } else if reader.key(key, is: "server_version") {
                change.base = try reader.readInt64()
            } else if reader.key(key, is: "schema") {
                change.schema = try reader.readString().lowercased()
            } else if reader.key(key, is: "table") {
                change.table = try reader.readString().lowercased()
            } else if reader.key(key, is: "op") {
                change.operation = try reader.readString().uppercased()
            } else if reader.key(key, is: "pk") {
                change.pk = try reader.readString()
            } else if reader.key(key, is: "payload") {
                let slice = try reader.skipValue()
                change.payload = String(decoding: reader.bytes[slice.range], as: UTF8.self)
            } else {
                _ = try reader.skipValue()
            }
        }
        return change
    }

    static func answer(
        _ changes: [ReferenceTables.Change], _ statuses: [ReferenceTables.Status], highest: Int64
    ) -> String {
        let isRefused = statuses.contains { status in
            if case .invalid("unregistered_table", _, _) = status { true } else { false }
        }
        let texts = zip(changes, statuses).map { change, status in
            #"{"source_change_id":\#(change.changeID),"status":\#(text(status, change))}"#
        }
        return
            #"{"accepted":\#(!isRefused),"highest_server_seq":\#(highest),"statuses":[\#(texts.joined(separator: ","))]}"#
    }

    private static func text(
        _ status: ReferenceTables.Status, _ change: ReferenceTables.Change
    ) -> String {
        switch status {
        case .applied(let version):
            return #""applied""# + (version.map { #","new_server_version":\#($0)"# } ?? "")
        case .invalid(let reason, let message, let details):
            let text = message.map { #","message":"\#($0)""# } ?? ""
            return #""invalid"\#(text),"invalid":{"reason":"\#(reason)","details":{\#(details)}}"#
        case .conflict(let row):
            return """
                "conflict","server_row":{"deleted":\(row.payload == nil),\
                "id":"\(change.pk.lowercased())","payload":\(row.payload.map(escaped) ?? "null"),\
                "schema_name":"\(change.schema)","server_version":\(row.version),\
                "table_name":"\(change.table)"}
                """
        }
    }

    static func page(
        _ entries: some Sequence<ReferenceTables.Entry>, hasMore: Bool, next: Int64, window: Int64
    ) -> String {
        let changes = entries.map { entry in
            let payload = entry.payload.map { #""payload":\#(escaped($0)),"# } ?? ""
            return """
                {"server_id":\(entry.id),"schema":"\(entry.place.schema)",\
                "table":"\(entry.place.table)","op":"\(entry.operation)","pk":"\(entry.place.pk)",\
                \(payload)"server_version":\(entry.version),\
                "deleted":\(entry.operation == "DELETE"),"source_id":"\(entry.source)",\
                "source_change_id":\(entry.changeID),"ts":"2026-01-19T12:00:00.123456+02:00"}
                """
        }
        return
            #"{"changes":[\#(changes.joined(separator: ","))],"has_more":\#(hasMore),"next_after":\#(next),"window_until":\#(window)}"#
    }

    /// Go escapes what could end a script in HTML.
    private static func escaped(_ json: String) -> String {
        json.replacing("<", with: #"\u003c"#).replacing(">", with: #"\u003e"#)
            .replacing("&", with: #"\u0026"#).replacing("\u{2028}", with: #"\u2028"#)
            .replacing("\u{2029}", with: #"\u2029"#)
    }
}
