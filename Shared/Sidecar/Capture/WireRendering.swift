import Model

/// How a column's value becomes a payload's: the reverse of what a materialized payload goes through.
///
/// PostgreSQL's own JSON already has digits as stored, uuids dashed and timestamps in RFC 3339, given the
/// session settings that `CaptureFunction` makes.
struct WireRendering {
    /// The row as a JSON object: all columns but the owner, under their wire names.
    static func payload(of table: RegisteredTable, row: String) -> String {
        var seen: Set<String> = []
        let fields = table.columns.filter { $0.name != table.ownerColumn }.compactMap { column in
            let name = column.name.lowercased()
            // Two columns that differ only in case: uploads write the first, so it is the one shown.
            guard seen.insert(name).inserted else { return nil as String? }
            return "\(expression(column, row)) AS \(quoted(name))"
        }
        return "(SELECT row_to_json(w) FROM (SELECT \(fields.joined(separator: ", "))) AS w)"
    }

    private static func expression(_ column: Column, _ row: String) -> String {
        let value = "\(row).\(quoted(column.name))"
        guard PostgresColumnType.bytea == column.baseType else { return value }
        // encode() breaks lines every 76 characters.
        return "replace(encode(\(value), 'base64'), E'\\n', '')"
    }

    private enum PostgresColumnType {
        static let bytea: UInt32 = 17
    }
}
