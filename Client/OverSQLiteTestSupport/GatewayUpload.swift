import Foundation
import WireJSON

/// Parses uploads like the real server: payloads are kept byte for byte, and each change is judged
/// on its own.
struct UploadBody {
    /// The maximum number of changes in an upload.
    let changeLimit: Int
    /// The maximum size of a payload, in bytes.
    let payloadLimit: Int
    let schema: String
    let tables: GatewayTables
    /// Whether the caller may write to a table.
    let isOpen: (String) -> Bool
    /// Whether the client asks for integer keys.
    let asksForIntegers: Bool

    /// A change as it was sent.
    private struct Sent {
        var id: Int64 = 0
        var base: Int64 = 0
        var lost: Int64 = 0
        var schema = ""
        var table = ""
        var pk = ""
        var operation = ""
        var payload: JSONSlice?
        /// The name of a field whose text is not valid Unicode.
        var broken: String?
    }

    /// The changes' ids, each with its change or the reason why it is invalid.
    func changes(_ body: [UInt8]) throws(GatewayError) -> [(id: Int, verdict: GatewayStore.Verdict)]
    {
        let read = body.withUnsafeBufferPointer { bytes -> Result<[Sent], JSONError> in
            do throws(JSONError) { return .success(try Self.read(bytes)) } catch {
                return .failure(error)
            }
        }
        switch read {
        case .failure(let error):
            throw .invalid("Failed to parse upload request: \(error.description)")
        case .success(let sent):
            let isTooMany = sent.count > changeLimit
            let tooMany = GatewayRefusal.batchTooLarge(sent.count, limit: changeLimit)
            return sent.map { sent in
                (Int(sent.id), isTooMany ? .failure(tooMany) : verdict(sent, body))
            }
        }
    }

    // MARK: Reading

    private static func read(_ bytes: UnsafeBufferPointer<UInt8>) throws(JSONError) -> [Sent] {
        var reader = JSONReader(bytes)
        if try reader.peek() == .null {
            try reader.readNull()
            try reader.expectEnd()
            return []
        }
        var changes: [Sent] = []
        try reader.readObject { reader, key throws(JSONError) in
            guard reader.key(key, is: "changes"), try reader.peek() != .null else {
                _ = try reader.skipValue()
                return
            }
            changes = []
            try reader.readArray { reader throws(JSONError) in changes.append(try change(&reader)) }
        }
        try reader.expectEnd()
        return changes
    }

    private static func change(_ reader: inout JSONReader) throws(JSONError) -> Sent {
        var sent = Sent()
        if try reader.peek() == .null {
            try reader.readNull()
            return sent
        }
        try reader.readObject { reader, key throws(JSONError) in
            if reader.key(key, is: "payload") {
                sent.payload = try reader.skipValue()
            } else if try reader.peek() == .null {
                try reader.readNull()
            } else if reader.key(key, is: "source_change_id") {
                sent.id = try reader.readInt64()
            } else if reader.key(key, is: "server_version") {
                sent.base = try reader.readInt64()
            } else if reader.key(key, is: "lost_version") {
                sent.lost = try reader.readInt64()
            } else if reader.key(key, is: "schema") {
                sent.schema = try text(&reader, "schema", &sent)
            } else if reader.key(key, is: "table") {
                sent.table = try text(&reader, "table", &sent)
            } else if reader.key(key, is: "pk") {
                sent.pk = try text(&reader, "pk", &sent)
            } else if reader.key(key, is: "op") {
                sent.operation = try text(&reader, "op", &sent)
            } else {
                _ = try reader.skipValue()
            }
        }
        return sent
    }

    private static func text(
        _ reader: inout JSONReader, _ field: String, _ sent: inout Sent
    ) throws(JSONError) -> String {
        guard try reader.peek() == .string else {
            throw JSONError("\(field) must be a string", at: reader.position)
        }
        let slice = try reader.skipValue()
        if let text = reader.text(of: slice), slice.flaw == nil { return text }
        let flaw =
            slice.flaw == .nulCharacter
            ? JSONFlaw.nulCharacter.description : "is not valid Unicode text"
        sent.broken = sent.broken ?? "\(field) \(flaw)"
        return ""
    }

    private func verdict(_ sent: Sent, _ body: [UInt8]) -> GatewayStore.Verdict {
        do throws(GatewayRefusal) { return .success(try change(sent, body)) } catch {
            return .failure(error)
        }
    }

    private func checkNumbers(_ sent: Sent) throws(GatewayRefusal) {
        let highest = GatewayModel.maximumNumber
        guard -highest...highest ~= Int(sent.id) else {
            throw .badPayload(
                "bad_payload: source_change_id must be between -\(highest) and \(highest)")
        }
        guard sent.base <= highest else {
            throw .badPayload("bad_payload: server_version must be at most \(highest)")
        }
        guard 0...GatewayModel.maximumLostVersion ~= Int(sent.lost) else {
            throw .badPayload(
                "bad_payload: lost_version must be between 0 and \(GatewayModel.maximumLostVersion)"
            )
        }
    }

    // MARK: Judging: names, operation, key, payload; the first error counts

    private func change(_ sent: Sent, _ body: [UInt8]) throws(GatewayRefusal) -> GatewayModel.Change
    {
        if let field = sent.broken {
            throw .badPayload("bad_payload: \(field)")
        }
        let table = try table(sent)
        let operation = Self.trimmed(sent.operation).uppercased()
        guard ["INSERT", "UPDATE", "DELETE"].contains(operation) else {
            throw .badPayload("invalid operation: \(sent.operation.prefix(64))")
        }
        let pk = try key(sent.pk, tables[table])
        try checkNumbers(sent)
        let payload = try payload(sent, operation, body)
        let columns = payload.map { PayloadColumns(json: $0) } ?? [:]
        try checkReferences(columns, of: table, pk)
        return GatewayModel.Change(
            id: Int(sent.id), place: .init(table: table, pk: pk), operation: operation,
            base: Int(sent.base), lost: Int(sent.lost), payload: payload, columns: columns)
    }

    private func table(_ sent: Sent) throws(GatewayRefusal) -> String {
        let given = Self.trimmed(sent.schema).lowercased()
        let schema = given.isEmpty ? "public" : given
        let table = Self.trimmed(sent.table).lowercased()
        guard isIdentifier(schema) else {
            throw .badPayload("bad_payload: invalid schema name \"\(schema.prefix(64))\"")
        }
        guard isIdentifier(table) else {
            throw .badPayload("bad_payload: invalid table name \"\(table.prefix(64))\"")
        }
        guard schema == self.schema, tables.has(table) else { throw .unregistered(schema, table) }
        guard isOpen(table) else { throw .forbidden(schema, table) }
        if tables[table]?.key == .integer, !asksForIntegers {
            throw .notAskedFor(schema, table)
        }
        return table
    }

    private func key(_ text: String, _ table: InMemoryGateway.Table?) throws(GatewayRefusal)
        -> String
    {
        switch table?.key {
        case nil: return text
        case .uuid:
            guard let key = WireKey.uuid(text) else {
                throw .badPayload("bad_payload: invalid UUID format: \(text.prefix(64))")
            }
            return key
        case .text:
            guard (1...WireKey.maximumTextBytes).contains(text.utf8.count), !text.utf8.contains(0)
            else {
                throw .badPayload(
                    "bad_payload: invalid key: a text key has 1 to \(WireKey.maximumTextBytes) bytes and no U+0000"
                )
            }
            return text
        case .integer:
            guard let key = WireKey.integer(text) else {
                let name = "\(schema).\(table?.name ?? "")"
                throw .badPayload(
                    "bad_payload: invalid key \(text.prefix(64)): pk of \(name) "
                        + "is a whole number from \(Int64.min) to \(Int64.max) in decimal digits, "
                        + "as -5, 0 or 42: no leading zeros, no + and no blanks")
            }
            return key
        }
    }

    private func payload(
        _ sent: Sent, _ operation: String, _ body: [UInt8]
    ) throws(GatewayRefusal) -> String? {
        if operation == "DELETE" {
            guard sent.payload == nil else { throw .badPayload("DELETE must not include payload") }
            return nil
        }
        guard let slice = sent.payload else {
            throw .badPayload("payload required for \(operation) operation")
        }
        guard slice.range.count <= payloadLimit else {
            throw .badPayload(
                "bad_payload: payload too large: \(slice.range.count) > \(payloadLimit)")
        }
        guard slice.kind == .object else {
            throw .badPayload("invalid JSON payload: it must be an object")
        }
        if let flaw = slice.flaw { throw .badPayload("invalid JSON payload: it \(flaw)") }
        guard let text = String(validating: body[slice.range], as: UTF8.self) else {
            throw .badPayload("invalid JSON payload: it \(JSONFlaw.invalidUTF8)")
        }
        return text
    }

    private func checkReferences(
        _ columns: PayloadColumns, of table: String, _ pk: String
    ) throws(GatewayRefusal) {
        for (column, parent) in (tables[table]?.references ?? [:]).sorted(by: { $0.key < $1.key }) {
            guard let key = columns.key(column) else { continue }
            let type: String?
            switch tables[parent]?.key {
            case .uuid: type = WireKey.uuid(key) == nil ? "uuid" : nil
            case .integer: type = WireKey.integer(key) == nil ? "bigint" : nil
            case .text, nil: type = nil
            }
            guard let type else { continue }
            throw .badPayload(
                "bad payload for \(schema).\(table) pk=\(pk): \(column) is no value of type "
                    + type)
        }
    }

    private static func trimmed(_ text: String) -> String {
        text.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
