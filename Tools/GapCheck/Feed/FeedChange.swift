import WireJSON

/// One change as a reader got it, without its payload's text.
package struct FeedChange: Hashable, Sendable {
    package var sequence: Int64
    package var row: GapRow
    package var version: Int64
    /// What the row holds from then on; nil: it is deleted.
    package var content: RowContent?
    /// The device that made it; empty: plain SQL.
    package var source: String
    package var changeID: Int64

    package init(
        sequence: Int64, row: GapRow, version: Int64, content: RowContent?, source: String,
        changeID: Int64
    ) {
        self.sequence = sequence
        self.row = row
        self.version = version
        self.content = content
        self.source = source
        self.changeID = changeID
    }
}

/// The members of one change on the wire, while it is read.
struct FeedChangeText {
    private var sequence: Int64 = 0
    private var table = ""
    private var key = ""
    private var version: Int64 = 0
    private var isDeleted = false
    private var content: RowContent?
    private var source = ""
    private var changeID: Int64 = 0

    init(_ reader: inout JSONReader) throws(JSONError) {
        var text = self
        try reader.readObject { reader, member throws(JSONError) in
            if reader.key(member, is: "server_id") {
                text.sequence = try reader.readInt64()
            } else if reader.key(member, is: "table") {
                text.table = try reader.readString()
            } else if reader.key(member, is: "pk") {
                text.key = try reader.readString()
            } else if reader.key(member, is: "payload") {
                text.content = try Self.content(&reader)
            } else if reader.key(member, is: "server_version") {
                text.version = try reader.readInt64()
            } else if reader.key(member, is: "deleted") {
                text.isDeleted = try reader.readBool()
            } else if reader.key(member, is: "source_id") {
                text.source = try reader.readString()
            } else if reader.key(member, is: "source_change_id") {
                text.changeID = try reader.readInt64()
            } else {
                _ = try reader.skipValue()
            }
        }
        self = text
    }

    private init() {}

    /// - Throws: when it is of no table that the checker writes.
    func change(at position: Int) throws(JSONError) -> FeedChange {
        guard let table = GapTable(name: table), let row = GapRow(table, key: key),
            isDeleted == (content == nil)
        else { throw JSONError("change \(sequence) is not one that anybody made", at: position) }
        return FeedChange(
            sequence: sequence, row: row, version: version, content: content, source: source,
            changeID: changeID)
    }

    private static func content(_ reader: inout JSONReader) throws(JSONError) -> RowContent? {
        if try reader.peek() == .null {
            try reader.readNull()
            return nil
        }
        var n = 0..<0
        var label = 0..<0
        var item = 0..<0
        try reader.readObject { reader, member throws(JSONError) in
            let value = try reader.skipValue()
            let place = value.kind == .string ? value.content : value.range
            if reader.key(member, is: "n") {
                n = place
            } else if reader.key(member, is: "label") {
                label = place
            } else if reader.key(member, is: "item_id") {
                item = place
            }
        }
        return RowContent(n: reader.bytes[n], label: reader.bytes[label], item: reader.bytes[item])
    }
}
