import GRDB

/// Finds the foreign keys that refer to a table.
struct Referrers {
    /// What a foreign key may do to its row when the parent is deleted.
    private static let actions: Set = ["CASCADE", "SET NULL", "SET DEFAULT"]

    let db: Database

    func all(to table: String) throws -> [Referrer] {
        let rows = try Row.fetchAll(
            db,
            sql: """
                SELECT m.name AS child, f.id, f."from" AS own, upper(f.on_delete) AS on_delete,
                  coalesce(f."to", (
                    SELECT name FROM pragma_table_info(f."table") WHERE pk = f.seq + 1)) AS other
                FROM sqlite_master AS m, pragma_foreign_key_list(m.name) AS f
                WHERE m.type = 'table' AND lower(f."table") = lower(?) ORDER BY m.name, f.id, f.seq
                """, arguments: [table])
        var found: [Referrer] = []
        for rows in Dictionary(
            grouping: rows, by: { [$0["child"] as String, "\($0["id"] as Int)"] }
        )
        .sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }).map(\.value) {
            let others = rows.compactMap { $0["other"] as String? }
            // A key that names no column of its parent is an error of the app's tables.
            guard let first = rows.first, others.count == rows.count else { continue }
            let action: String = first["on_delete"]
            found.append(
                Referrer(
                    table: first["child"], columns: rows.map { $0["own"] }, parentColumns: others,
                    actsOnDelete: Self.actions.contains(action), cascades: action == "CASCADE"))
        }
        return found
    }
}
