import Model

/// How a column's value becomes a payload's: the reverse of what a materialized payload goes through.
///
/// PostgreSQL's own JSON already has digits as stored, uuids dashed and timestamps in RFC 3339,
/// given ``RenderingSettings``.
package struct WireRendering {
    /// The row as a JSON object: all columns but the owner, under their wire names.
    static func payload(of table: RegisteredTable, row: String) -> String {
        payload(columns: columns(of: table, row: row))
    }

    /// - Parameter columns: as `columns(of:)` writes them.
    static func payload(columns: String) -> String {
        // The row, whatever its columns are called: `w` alone would mean a column of that name.
        "(SELECT row_to_json(w.*) FROM (SELECT \(columns)) AS w)"
    }

    /// The items of a SELECT. `sync.wire_columns` writes the same for a row `t`, with the columns
    /// that the table has at that time.
    static func columns(of table: RegisteredTable, row: String) -> String {
        shown(of: table).map { "\(expression($0, row)) AS \(quoted($0.name.lowercased()))" }
            .joined(separator: ", ")
    }

    /// The columns that devices see. Of two that differ only in case it is the first, which uploads write.
    package static func shown(of table: RegisteredTable) -> [Column] {
        var seen: Set<String> = []
        return table.columns.filter { column in
            column.name != table.ownerColumn && seen.insert(column.name.lowercased()).inserted
        }
    }

    /// The table's columns and their types as `columnListQuery` tells them.
    static func columnList(of table: RegisteredTable) -> String {
        table.columns.map { "\(quoted($0.name)) \($0.type)" }.joined(separator: ", ")
    }

    /// The columns that a table has at the moment. It runs in each statement of the team's, and is simple
    /// enough to be planned once: with a join it would cost eight times as much.
    ///
    /// - Parameter except: SQL of an array of names that are left out; nil for none.
    static func columnListQuery(relation: String, except: String? = nil) -> String {
        """
        (SELECT string_agg('"' || replace(a.attname, '"', '""') || '" ' || a.atttypid, ', ' ORDER BY a.attnum)
        FROM pg_attribute a WHERE a.attrelid = \(relation) AND a.attnum > 0
            AND NOT a.attisdropped\(without(except)))
        """
    }

    private static func without(_ except: String?) -> String {
        except.map { "\n    AND a.attname::text <> ALL (\($0))" } ?? ""
    }

    /// The columns that stay on the server, as SQL; nil if there are none.
    static func except(of table: RegisteredTable) -> String? {
        let names = table.withheld.except.sorted()
        return names.isEmpty
            ? nil : "ARRAY[\(names.map(literal).joined(separator: ", "))]::text[]"
    }

    static func expression(_ column: Column, _ row: String) -> String {
        let value = "\(row).\(quoted(column.name))"
        // encode() breaks lines every 76 characters.
        return isBytea(column) ? "replace(encode(\(value), 'base64'), E'\\n', '')" : value
    }

    private static func isBytea(_ column: Column) -> Bool {
        let bytea: UInt32 = 17
        return column.baseType == bytea
    }
}
