import GRDB

/// The SQL of a plan.
extension ColumnPlan {
    /// Writes a row that may be here already.
    static func sql(_ table: TableSchema, _ columns: [Column]) -> String {
        let sets = columns.filter { !$0.isKey }.map(\.name.quotedIdentifier).map {
            "\($0) = excluded.\($0)"
        }
        // Without it triggers of the app's keep their own OR clauses.
        let clause = table.hasConflictClauses ? " OR ABORT" : ""
        return """
            INSERT\(clause) \(values(table, columns)) ON CONFLICT (\(table.quotedKey)) DO \
            \(sets.isEmpty ? "NOTHING" : "UPDATE SET " + sets.joined(separator: ", "))
            """
    }

    /// The part of an insert from INTO on.
    static func values(_ table: TableSchema, _ columns: [Column], rows: Int = 1) -> String {
        let names = columns.map(\.name.quotedIdentifier).joined(separator: ", ")
        let row = Array(repeating: "?", count: columns.count).joined(separator: ", ")
        let all = Array(repeating: "(\(row))", count: rows).joined(separator: ", ")
        return "INTO \(table.quotedName) (\(names)) VALUES \(all)"
    }
}
