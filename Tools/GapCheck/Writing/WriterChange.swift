import WireJSON

/// One change that a writer sends.
package struct WriterChange: Hashable, Sendable {
    package enum Kind: Hashable, Sendable { case insert, update, delete }

    package let id: Int64
    package let kind: Kind
    package let row: GapRow
    /// The item that a part belongs to.
    package let item: GapRow?
    /// The version that it edits.
    package let base: Int64

    func append(to json: inout [UInt8]) {
        json.append(literal: "{\"source_change_id\":")
        json.append(integer: id)
        json.append(literal: ",\"schema\":")
        json.append(jsonString: GapTables.schema)
        json.append(literal: ",\"table\":")
        json.append(jsonString: row.table.name)
        switch kind {
        case .insert: json.append(literal: ",\"op\":\"INSERT\",\"pk\":")
        case .update: json.append(literal: ",\"op\":\"UPDATE\",\"pk\":")
        case .delete: json.append(literal: ",\"op\":\"DELETE\",\"pk\":")
        }
        json.append(jsonString: row.key)
        json.append(literal: ",\"server_version\":")
        json.append(integer: base)
        if kind != .delete { appendPayload(to: &json) }
        json.append(byte: UInt8(ascii: "}"))
    }

    private func appendPayload(to json: inout [UInt8]) {
        json.append(literal: ",\"payload\":{\"id\":")
        switch row.table {
        case .items: json.append(jsonString: row.key)
        case .parts: json.append(contentsOf: row.key.utf8)
        }
        if let item {
            json.append(literal: ",\"item_id\":")
            json.append(jsonString: item.key)
        }
        json.append(literal: ",\"n\":")
        json.append(integer: id)
        json.append(literal: ",\"label\":\"written by a device as change ")
        json.append(integer: id)
        json.append(literal: "\"}")
    }
}

/// What the server said to one change.
package enum WriterOutcome: Hashable, Sendable {
    case applied(version: Int64)
    /// Somebody else was first: the row is at this version now.
    case conflict(version: Int64, isDeleted: Bool)
    /// Nothing that a writer's changes may be answered.
    case other(String)
}
