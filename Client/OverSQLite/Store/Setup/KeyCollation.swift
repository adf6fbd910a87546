import GRDB
import GRDBSQLite

/// Checks that two keys count as one here exactly where they do on the server, which compares keys
/// as bytes.
struct KeyCollation {
    /// The collation that compares bytes.
    private static let binary = "BINARY"
    /// Collations that only treat texts as equal that spell the same UUID, if both spell one.
    private static let fitUUIDs: Set = [binary, "NOCASE", "RTRIM"]

    let db: Database

    /// - Throws: `SyncError.unusableTable` if two keys of the server could count as one.
    func check(_ column: String, of table: String, form: KeyForm) throws {
        // Bytes in a BLOB and numbers have no collation.
        if form == .uuidBlob || form == .integer { return }
        let fit = form == .text ? [Self.binary] : Self.fitUUIDs
        guard
            let unfit = try collations(of: column, in: table).first(where: { !fit.contains($0) })
        else { return }
        throw SyncError.unusableTable(
            table,
            "the key column \(column) compares with the collation \(unfit), so two keys that "
                + "differ on the server could be one here, and the second would replace the first: "
                + "make the table anew without COLLATE \(unfit) on the key, and write "
                + "COLLATE \(unfit) in the queries that need it (or in an index that is not unique)"
        )
    }

    /// The collations of the column and of each unique index on it alone, in capitals.
    private func collations(of column: String, in table: String) throws -> [String] {
        let ofIndexes = try String.fetchAll(
            db,
            sql: """
                SELECT x.coll FROM pragma_index_list(:table) AS l, pragma_index_xinfo(l.name) AS x
                WHERE l."unique" AND x.key AND lower(x.name) = lower(:column)
                  AND (SELECT count(*) FROM pragma_index_info(l.name)) = 1
                """, arguments: ["table": table, "column": column])
        return ([Self.ofColumn(column, in: table, db)] + ofIndexes).map { $0.uppercased() }
    }

    /// The collation that the column's declaration names.
    static func ofColumn(_ column: String, in table: String, _ db: Database) -> String {
        var name: UnsafePointer<CChar>?
        let code = sqlite3_table_column_metadata(
            db.sqliteConnection, nil, table, column, nil, &name, nil, nil, nil)
        guard code == SQLITE_OK, let name else { return binary }
        return String(cString: name)
    }
}
