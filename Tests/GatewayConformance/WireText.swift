/// Parts of requests and answers as the wire has them.
extension Conversation {
    func user(
        _ id: Int, _ row: Int, base: Int = 0, op: String = "INSERT", name: String? = "a"
    ) -> String {
        change(id, "users", key(row), base: base, op: op, payload: userPayload(row, name))
    }

    func userPayload(_ row: Int, _ name: String?) -> String {
        #"{"id":"\#(key(row))","name":\#(name.map { "\"\($0)\"" } ?? "null")}"#
    }

    func post(_ id: Int, _ row: Int, of parent: Int, base: Int = 0) -> String {
        change(
            id, "posts", key(row), base: base, op: "INSERT", payload: postPayload(row, of: parent))
    }

    func postPayload(_ row: Int, of parent: Int) -> String {
        #"{"id":"\#(key(row))","user_id":"\#(key(parent))"}"#
    }

    func delete(_ id: Int, _ table: String, _ row: Int, base: Int) -> String {
        change(id, table, key(row), base: base, op: "DELETE", payload: nil)
    }

    func change(
        _ id: Int, _ table: String, _ pk: String, base: Int = 0, op: String = "INSERT",
        payload: String?
    ) -> String {
        let member = payload.map { #","payload":\#($0)"# } ?? ""
        return
            #"{"source_change_id":\#(id),"schema":"business","table":"\#(table)","op":"\#(op)","pk":"\#(pk)","server_version":\#(base)\#(member)}"#
    }

    // MARK: Statuses

    func applied(_ id: Int, _ version: Int?) -> String {
        let member = version.map { #","new_server_version":\#($0)"# } ?? ""
        return #"{"source_change_id":\#(id),"status":"applied"\#(member)}"#
    }

    /// - Parameters:
    ///   - payload: nil for a row that is deleted.
    ///   - device: empty for a row whose writer is no longer kept; when it wrote is then not kept either.
    func conflict(
        _ id: Int, _ table: String, _ row: Int, version: Int, payload: String?,
        by device: String, _ changeID: Int
    ) -> String {
        """
        {"source_change_id":\(id),"status":"conflict","server_row":{"schema_name":"business",\
        "table_name":"\(table)","id":"\(key(row))","server_version":\(version),\
        "deleted":\(payload == nil),"payload":\(payload ?? "null"),"source_id":"\(device)",\
        "source_change_id":\(changeID)\(device.isEmpty ? "" : #","ts":"x""#)}}
        """
    }

    /// A refusal whose details repeat its message.
    func invalid(_ id: Int, _ reason: String, _ message: String) -> String {
        #"{"source_change_id":\#(id),"status":"invalid","message":"\#(message)","invalid":{"reason":"\#(reason)","details":{"error":"\#(message)"}}}"#
    }

    func badPayload(_ id: Int, _ message: String) -> String { invalid(id, "bad_payload", message) }

    func orphan(_ id: Int, parent: Int) -> String {
        #"{"source_change_id":\#(id),"status":"invalid","invalid":{"reason":"fk_missing","details":{"missing":["business.users:\#(key(parent))"]}}}"#
    }

    func unregistered(_ id: Int, _ schema: String, _ table: String) -> String {
        #"{"source_change_id":\#(id),"status":"invalid","message":"table not registered \#(schema).\#(table)","invalid":{"reason":"unregistered_table","details":{"schema":"\#(schema)","table":"\#(table)"}}}"#
    }

    func materializeError(_ id: Int, _ version: Int, _ table: String, _ state: String) -> String {
        #"{"source_change_id":\#(id),"status":"materialize_error","new_server_version":\#(version),"message":"business.\#(table) refused the row: SQLSTATE \#(state)"}"#
    }

    func aborted(_ id: Int) -> String { #"{"source_change_id":\#(id),"status":"aborted"}"# }

    // MARK: The feed

    /// - Parameter payload: nil for a delete.
    func entry(
        _ sequence: Int, _ table: String, _ row: Int, _ op: String, version: Int, payload: String?,
        by device: String, _ changeID: Int
    ) -> String {
        let member = payload.map { #""payload":\#($0),"# } ?? ""
        return """
            {"server_id":\(sequence),"schema":"business","table":"\(table)","op":"\(op)",\
            "pk":"\(key(row))",\(member)"server_version":\(version),"deleted":\(payload == nil),\
            "source_id":"\(device)","source_change_id":\(changeID),"ts":"x"}
            """
    }
}

/// Why a business table refuses rows of these tests, as a part of a JSON string.
enum Refused {
    static let withoutName = #"23502 (not null violation, column \"name\")"#
    static let stillNeeded =
        #"23503 (foreign key violation, constraint \"posts_user_id_fkey\")"#
}
