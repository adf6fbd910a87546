import WireJSON

extension DownloadPage {
    /// - Throws: `JSONError` if the body is not a page; nothing of it is used then.
    init(body: [UInt8], after: Int64) throws(JSONError) {
        let parsed = body.withUnsafeBufferPointer { bytes -> Result<Fields, JSONError> in
            var parser = PageParser(bytes)
            do throws(JSONError) { return .success(try parser.page()) } catch {
                return .failure(error)
            }
        }
        let fields = try parsed.get()
        self.init(
            after: after, changes: fields.changes, hasMore: fields.hasMore,
            nextAfter: fields.nextAfter, windowUntil: fields.windowUntil, body: body)
    }

    fileprivate struct Fields {
        var changes: [RemoteChange] = []
        var hasMore = false
        var nextAfter: Int64 = 0
        var windowUntil: Int64 = 0
    }
}

/// Parses a page. Strings that repeat from row to row are created only once.
private struct PageParser {
    private var reader: JSONReader
    private var table = RepeatedText()
    private var source = RepeatedText()
    private var operation = RepeatedText()

    init(_ bytes: UnsafeBufferPointer<UInt8>) {
        // Payloads are parsed when they are applied; the last of two equal keys counts.
        reader = JSONReader(bytes, rules: JSONRules(refusesDuplicateKeys: false))
    }

    /// The approximate size of a change in bytes, to reserve space for all changes at once.
    private static let bytesPerChange = 300

    mutating func page() throws(JSONError) -> DownloadPage.Fields {
        var fields = DownloadPage.Fields()
        fields.changes.reserveCapacity(reader.bytes.count / Self.bytesPerChange)
        var seen = 0
        var table = table, source = source, operation = operation
        try reader.readObject { reader, key throws(JSONError) in
            if reader.key(key, is: "changes") {
                seen += 1
                if try reader.peek() == .null { return try reader.readNull() }
                try reader.readArray { reader throws(JSONError) in
                    fields.changes.append(
                        try Self.change(
                            &reader, table: &table, source: &source, operation: &operation))
                }
            } else if reader.key(key, is: "has_more") {
                seen += 1
                fields.hasMore = try reader.readBool()
            } else if reader.key(key, is: "next_after") {
                seen += 1
                fields.nextAfter = try reader.readNumber("next_after")
            } else if reader.key(key, is: "window_until") {
                seen += 1
                fields.windowUntil = try reader.readNumber("window_until")
            } else {
                _ = try reader.skipValue()
            }
        }
        try reader.expectEnd()
        guard seen == 4 else { throw JSONError("the body is not a page of changes", at: 0) }
        return fields
    }

    private static func change(
        _ reader: inout JSONReader, table: inout RepeatedText, source: inout RepeatedText,
        operation: inout RepeatedText
    ) throws(JSONError) -> RemoteChange {
        var tableName = "", pk = "", op = "", sourceID = ""
        var sequence: Int64 = 0, version: Int64 = 0, changeID: Int64 = 0
        var payload: Range<Int>?
        try reader.readObject { reader, key throws(JSONError) in
            if reader.key(key, is: "table") {
                tableName = try table.read(&reader)
            } else if reader.key(key, is: "op") {
                op = try operation.read(&reader)
            } else if reader.key(key, is: "pk") {
                pk = try reader.readString()
            } else if reader.key(key, is: "payload") {
                let slice = try reader.skipValue()
                payload = slice.kind == .object ? slice.range : nil
            } else if reader.key(key, is: "server_version") {
                version = try reader.readNumber("server_version")
            } else if reader.key(key, is: "server_id") {
                sequence = try reader.readNumber("server_id")
            } else if reader.key(key, is: "source_id") {
                sourceID = try source.read(&reader)
            } else if reader.key(key, is: "source_change_id") {
                changeID = try reader.readChangeID()
            } else {
                _ = try reader.skipValue()
            }
        }
        guard sequence > 0, version > 0 else {
            throw JSONError("a change lacks its server_id or server_version", at: reader.position)
        }
        let isDelete = op == CapturedOperation.delete.rawValue
        return RemoteChange(
            sequence: sequence, table: tableName, key: pk, version: version, isDelete: isDelete,
            payload: isDelete ? nil : payload, sourceID: sourceID, changeID: changeID)
    }
}

/// A string that is usually equal to the previous one.
private struct RepeatedText {
    private var text = ""

    mutating func read(_ reader: inout JSONReader) throws(JSONError) -> String {
        let slice = try reader.readStringSlice()
        if !slice.hasEscapes, isText(reader.bytes[slice.content]) { return text }
        guard let read = reader.text(of: slice) else {
            throw JSONError("the string is not valid Unicode", at: slice.range.lowerBound)
        }
        text = read
        return text
    }

    private mutating func isText(_ bytes: Slice<UnsafeBufferPointer<UInt8>>) -> Bool {
        text.withUTF8 { $0.hasSameBytes(as: bytes) }
    }
}
