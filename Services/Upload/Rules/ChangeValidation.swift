import Crypto
import Model
import Sidecar
import WireJSON

/// Judges each change by itself: names, operation, key, payload, in that order. The first flaw is
/// the reason.
struct ChangeValidation {
    let schema: UploadSchema
    let limits: WireLimits
    let author: ChangeAuthor
    private let roles: Set<String>
    let body: UnsafeBufferPointer<UInt8>
    /// The table that was found last, and as what: changes of one table follow each other.
    private var found: (schema: String, table: String, place: Int)?

    init(
        schema: UploadSchema, limits: WireLimits, author: ChangeAuthor,
        body: UnsafeBufferPointer<UInt8>
    ) {
        self.schema = schema
        self.limits = limits
        self.author = author
        roles = author.roles
        self.body = body
    }

    enum Verdict {
        case valid(Change)
        case rejected(Rejection)
    }

    mutating func judge(_ wire: WireChange, at index: Int) -> Verdict {
        do {
            return .valid(try change(wire, at: index))
        } catch {
            return .rejected(error)
        }
    }

    private mutating func change(
        _ wire: WireChange, at index: Int
    ) throws(Rejection) -> Change {
        if let field = wire.brokenField {
            throw .badPayload("bad_payload: \(field)")
        }
        let table = try table(wire)
        let upload = schema.tables[table]
        guard
            let operation = Operation(rawValue: wire.operation)
                ?? Operation(rawValue: wire.operation.trimmed.uppercased())
        else {
            throw .badPayload("invalid operation: \(wire.operation.quotable)")
        }
        let key = try key(wire.key, of: upload)
        try checkNumbers(wire)
        let row = RowID(table: upload.registered.id, key: key)
        let payload = try payload(wire, operation)
        var shape = PayloadShape()
        if let payload, upload.registered.mode == .table {
            do {
                let bytes = UnsafeBufferPointer(rebasing: body[payload])
                shape = try PayloadShape.read(bytes, of: upload, key: key, in: schema, roles: roles)
            } catch {
                throw .badPayload(
                    "bad payload for \(upload.registered.name) pk=\(key.text): "
                        + "\(error.column) \(error.reason)"
                )
            }
        }
        return Change(
            index: index, id: wire.id, row: row, table: table, operation: operation,
            base: wire.base, lost: wire.lost,
            payload: payload, contentHash: contentHash(row, payload), columns: shape.columns,
            defaulted: shape.defaulted, isOrdinary: shape.isOrdinary, converted: shape.converted,
            refusedNull: shape.refusedNull, needsJSON: shape.needsJSON, strangers: shape.strangers,
            hasMore: shape.hasMore,
            needs: shape.needs,
            provides: shape.provides, isReduced: shape.isReduced,
            isOverruled: shape.isOverruled)
    }

    /// A base below 0 is the base of no row and is judged like any other. The same holds for ids
    /// below 1, which devices may have invented.
    private func checkNumbers(_ wire: WireChange) throws(Rejection) {
        let highest = WireNumber.maximum
        guard -highest...highest ~= wire.id else {
            throw .badPayload(
                "bad_payload: source_change_id must be between -\(highest) and \(highest)")
        }
        guard wire.base <= highest else {
            throw .badPayload("bad_payload: server_version must be at most \(highest)")
        }
        guard 0...RowVersion.maximumLost ~= wire.lost else {
            throw .badPayload(
                "bad_payload: lost_version must be between 0 and \(RowVersion.maximumLost)")
        }
    }

    private mutating func table(_ wire: WireChange) throws(Rejection) -> Int {
        if let found, found.schema == wire.schema, found.table == wire.table {
            return found.place
        }
        let schemaName = wire.schema.trimmed.lowercased()
        let name = TableName(
            schema: schemaName.isEmpty ? "public" : schemaName,
            table: wire.table.trimmed.lowercased())
        guard isWireIdentifier(name.schema) else {
            throw .badPayload("bad_payload: invalid schema name \"\(name.schema.quotable)\"")
        }
        guard isWireIdentifier(name.table) else {
            throw .badPayload("bad_payload: invalid table name \"\(name.table.quotable)\"")
        }
        guard let table = schema.table(name) else { throw .unregistered(name) }
        let registered = schema.tables[table].registered
        guard author.mayWrite(registered) else {
            throw author.lacksKind(of: registered)
                ? .notAskedFor(registered.keyKind, of: name) : .forbidden(name)
        }
        found = (wire.schema, wire.table, table)
        return table
    }

    private func payload(_ wire: WireChange, _ operation: Operation) throws(Rejection) -> Range<
        Int
    >? {
        if operation == .delete {
            guard wire.payload == nil else { throw .badPayload("DELETE must not include payload") }
            return nil
        }
        guard let slice = wire.payload else {
            throw .badPayload("payload required for \(operation.rawValue) operation")
        }
        guard slice.range.count <= limits.bytesPerPayload else {
            throw .badPayload(
                "bad_payload: payload too large: \(slice.range.count) > \(limits.bytesPerPayload)")
        }
        guard slice.kind == .object else {
            throw .badPayload("invalid JSON payload: it must be an object")
        }
        if let flaw = slice.flaw { throw .badPayload("invalid JSON payload: it \(flaw)") }
        if !isValidUTF8(slice.range) {
            throw .badPayload("invalid JSON payload: it \(JSONFlaw.invalidUTF8)")
        }
        return slice.range
    }

    private func isValidUTF8(_ range: Range<Int>) -> Bool {
        let bytes = UnsafeBufferPointer(rebasing: body[range])
        return (try? UTF8Span(validating: bytes.span)) != nil
    }

    /// The first 64 bits of a SHA-256. It distinguishes two edits under one change id.
    private func contentHash(_ row: RowID, _ payload: Range<Int>?) -> Int64 {
        var hasher = SHA256()
        withUnsafeBytes(of: row.table.bigEndian) { hasher.update(bufferPointer: $0) }
        row.key.withStoredBytes { key in
            withUnsafeBytes(of: UInt16(key.count).bigEndian) { hasher.update(bufferPointer: $0) }
            hasher.update(bufferPointer: key)
        }
        if let payload {
            hasher.update(
                bufferPointer: UnsafeRawBufferPointer(
                    rebasing: UnsafeRawBufferPointer(body)[payload]))
        }
        return hasher.finalize().withUnsafeBytes {
            Int64(bigEndian: $0.loadUnaligned(as: Int64.self))
        }
    }

    private func key(_ text: String, of table: UploadTable) throws(Rejection) -> RowKey {
        let kind = table.registered.keyKind
        guard let key = RowKey(text, kind: kind) else {
            throw .badPayload(Self.badKey(text, of: table))
        }
        if case .integer(let number) = key, !table.keyRange.contains(number) {
            throw .badPayload(Self.badKey(text, of: table))
        }
        return key
    }

    private static func badKey(_ key: String, of table: UploadTable) -> String {
        switch table.registered.keyKind {
        case .uuid: "bad_payload: invalid UUID format: \(key.quotable)"
        case .text:
            "bad_payload: invalid key: a text key has 1 to \(RowKey.maximumTextBytes) bytes "
                + "and no U+0000"
        case .integer:
            "bad_payload: invalid key \(key.quotable): pk of \(table.registered.name) is a whole "
                + "number from \(table.keyRange.lowerBound) to \(table.keyRange.upperBound) in "
                + "decimal digits, as -5, 0 or 42: no leading zeros, no + and no blanks"
        }
    }
}

extension String {
    /// The longest text that is trimmed, in bytes: no name or operation is as long.
    private static let longestTrimmed = 256
    /// Most of a text that an answer repeats.
    private static let quotedScalars = 64

    /// Without white space at either end.
    fileprivate var trimmed: String {
        guard utf8.count <= Self.longestTrimmed,
            first?.isWhitespace == true || last?.isWhitespace == true
        else { return self }
        return String(drop { $0.isWhitespace }.reversed().drop { $0.isWhitespace }.reversed())
    }

    /// Its beginning, for an answer. Cut by bytes: one character may have any number of marks.
    fileprivate var quotable: String {
        String(unicodeScalars.prefix(Self.quotedScalars))
    }
}
