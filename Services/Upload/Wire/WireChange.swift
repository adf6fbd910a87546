import Model
import WireJSON

/// One change as a device sent it, read but not yet judged. Slices are places in the request's body.
struct WireChange: Sendable {
    var id: ChangeID = 0
    var schema = ""
    var table = ""
    var operation = ""
    var key = ""
    var base: RowVersion = 0
    /// The version that the server had confirmed and has lost; 0 if the device knows of no loss.
    var lost: RowVersion = 0
    var payload: JSONSlice?
    /// A field whose text cannot be taken, and why; the change cannot be judged further.
    var brokenField: String?
}

/// A request body that is no upload at all.
package struct UndecodableUpload: Error, Hashable, Sendable {
    package let reason: String
    /// It is one, but of more changes than can be answered.
    package var isTooLarge = false

    static let tooManyChanges = UndecodableUpload(
        reason: "more than \(WireLimits.answeredChanges) changes; send fewer at once",
        isTooLarge: true)
}

/// Reads the body of an upload: `{"changes":[…]}`.
///
/// Follows the rules of the decoder that existing clients were written against: unknown members are passed
/// over, names match in any case, null stands for absent, numbers must be whole. Unlike there, text after the
/// value is refused: what a second value asks for would be dropped without a word.
struct UploadDecoder {
    /// Reads the changes, their payloads as slices of `body`.
    static func decode(_ body: UnsafeBufferPointer<UInt8>) throws(UndecodableUpload) -> [WireChange]
    {
        var reader = JSONReader(body)
        var isTooLarge = false
        do {
            if try reader.peek() == .null {
                try reader.readNull()
                try reader.expectEnd()
                return []
            }
            var changes: [WireChange] = []
            try reader.readObject { reader, member throws(JSONError) in
                guard reader.key(member, is: "changes"), try reader.peek() != .null else {
                    _ = try reader.skipValue()
                    return
                }
                changes.removeAll()
                try reader.readArray { reader throws(JSONError) in
                    isTooLarge = changes.count == WireLimits.answeredChanges
                    if isTooLarge { throw JSONError("too many changes", at: reader.position) }
                    changes.append(try readChange(&reader))
                }
            }
            try reader.expectEnd()
            return changes
        } catch {
            throw isTooLarge ? .tooManyChanges : UndecodableUpload(reason: error.description)
        }
    }

    private static func readChange(_ reader: inout JSONReader) throws(JSONError) -> WireChange {
        var change = WireChange()
        if try reader.peek() == .null {
            try reader.readNull()
            return change
        }
        try reader.readObject { reader, member throws(JSONError) in
            if reader.key(member, is: "payload") {
                change.payload = try reader.skipValue()
            } else if try reader.peek() == .null {
                try reader.readNull()
            } else if reader.key(member, is: "source_change_id") {
                change.id = try reader.readInt64()
            } else if reader.key(member, is: "server_version") {
                change.base = try reader.readInt64()
            } else if reader.key(member, is: "lost_version") {
                change.lost = try reader.readInt64()
            } else if reader.key(member, is: "schema") {
                change.schema = try readText(&reader, "schema", &change)
            } else if reader.key(member, is: "table") {
                change.table = try readText(&reader, "table", &change)
            } else if reader.key(member, is: "op") {
                change.operation = try readText(&reader, "op", &change)
            } else if reader.key(member, is: "pk") {
                change.key = try readText(&reader, "pk", &change)
            } else {
                _ = try reader.skipValue()
            }
        }
        return change
    }

    private static func readText(
        _ reader: inout JSONReader, _ field: String, _ change: inout WireChange
    ) throws(JSONError) -> String {
        guard try reader.peek() == .string else {
            throw JSONError("\(field) must be a string", at: reader.position)
        }
        let slice = try reader.skipValue()
        if let text = reader.text(of: slice), slice.flaw == nil { return text }
        let flaw =
            slice.flaw == .nulCharacter
            ? JSONFlaw.nulCharacter.description : "is not valid Unicode text"
        change.brokenField = change.brokenField ?? "\(field) \(flaw)"
        return ""
    }
}
