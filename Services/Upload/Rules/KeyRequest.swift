import Model
import WireJSON

/// The numbers that a device asks for.
struct KeyRequest: Sendable {
    /// The most tables that a request names.
    static let maximumTables = 100
    /// The most numbers of one table. A device that asks for more gets these.
    static let maximumCount: Int64 = 500

    struct Table: Hashable, Sendable {
        let name: TableName
        /// At least 1.
        let count: Int32
    }

    /// What is wrong with a body.
    struct Flaw: Error, Hashable, CustomStringConvertible {
        let description: String
    }

    let tables: [Table]

    /// Reads the body: `{"tables": [{"schema": "…", "table": "…", "count": 100}]}`.
    init(body: UnsafeBufferPointer<UInt8>) throws(Flaw) {
        var tables: [Table] = []
        var reader = JSONReader(body)
        do throws(JSONError) {
            try reader.readObject { reader, member throws(JSONError) in
                guard reader.key(member, is: "tables") else {
                    _ = try reader.skipValue()
                    return
                }
                try reader.readArray { reader throws(JSONError) in
                    let table = try Self.table(&reader)
                    if tables.count <= Self.maximumTables { tables.append(table) }
                }
            }
            try reader.expectEnd()
        } catch {
            throw Flaw(
                description: "the body must list tables, each with schema, table and count: "
                    + error.description)
        }
        guard tables.count <= Self.maximumTables else {
            throw Flaw(description: "tables must be at most \(Self.maximumTables)")
        }
        guard Set(tables.map(\.name)).count == tables.count else {
            throw Flaw(description: "tables must name each table once")
        }
        self.tables = tables
    }

    private static func table(_ reader: inout JSONReader) throws(JSONError) -> Table {
        var schema = "", table = ""
        var count: Int64 = 1
        try reader.readObject { reader, member throws(JSONError) in
            if reader.key(member, is: "schema") {
                schema = try reader.readString()
            } else if reader.key(member, is: "table") {
                table = try reader.readString()
            } else if reader.key(member, is: "count") {
                count = try reader.readInt64()
            } else {
                _ = try reader.skipValue()
            }
        }
        // As uploads name them.
        schema = schema.lowercased()
        return Table(
            name: TableName(
                schema: schema.isEmpty ? "public" : schema, table: table.lowercased()),
            count: Int32(min(max(count, 1), maximumCount)))
    }
}
