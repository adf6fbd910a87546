import GRDB

/// Finds the foreign keys that refer to each table.
struct Referrers {
    /// What a foreign key may do to its row when the parent is deleted.
    private static let actions: Set = ["CASCADE", "SET NULL", "SET DEFAULT"]

    let db: Database

    /// - Returns: the foreign keys of all tables in the database, by the lower-case name of the
    ///   table that they refer to.
    func byParent() throws -> [String: [Referrer]] {
        let rows = try Row.fetchAll(
            db,
            sql: """
                SELECT m.name AS child, f.id, lower(f."table") AS parent, f."from" AS own,
                  upper(f.on_delete) AS on_delete, coalesce(f."to", (
                    SELECT name FROM pragma_table_info(f."table") WHERE pk = f.seq + 1)) AS other
                FROM sqlite_master AS m, pragma_foreign_key_list(m.name) AS f
                WHERE m.type = 'table' ORDER BY m.name, f.id, f.seq
                """)
        var found: [String: [Referrer]] = [:]
        var rest = rows[...]
        while let first = rest.first {
            let (child, number): (String, Int) = (first["child"], first["id"])
            let own = rest.prefix { $0["child"] == child && $0["id"] == number }
            rest = rest.dropFirst(own.count)
            let others = own.compactMap { $0["other"] as String? }
            // A key that names no column of its parent is an error of the app's tables.
            guard others.count == own.count else { continue }
            let (parent, action): (String, String) = (first["parent"], first["on_delete"])
            found[parent, default: []].append(
                Referrer(
                    table: child, columns: own.map { $0["own"] }, parentColumns: others,
                    actsOnDelete: Self.actions.contains(action), cascades: action == "CASCADE"))
        }
        return found
    }
}
