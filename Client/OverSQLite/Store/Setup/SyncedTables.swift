import GRDB

/// `_sync_tables`, the tables that are synced now or were synced before. No other file writes it.
struct SyncedTables {
    /// The values of `_sync_tables.is_absent`.
    enum Absence: Int, DatabaseValueConvertible {
        case none = 0
        case absent = 1
        /// While the table was absent, the server began a new history or lost the end of its own.
        case sinceOldHistory = 2
    }

    /// SQL for the numbers of the tables that still exist in the database. Pending edits of a
    /// dropped table were lost with it.
    static let stillThere = """
        SELECT t.id FROM _sync_tables t
        JOIN sqlite_master m ON m.type = 'table' AND lower(m.name) = t.name
        """

    private static let name = "_sync_tables"

    let db: Database

    /// - Parameter name: the table's name, in any case.
    func entry(named name: String) throws -> (id: Int64, absence: Absence)? {
        try MetadataRow.first(
            of: Self.name, db, sql: "SELECT id, is_absent FROM _sync_tables WHERE name = lower(?)",
            [name]
        ).map { (try $0.number("id"), try $0.choice("is_absent")) }
    }

    /// - Returns: the new table's number.
    func add(_ name: String) throws -> Int64 {
        try db.execute(sql: "INSERT INTO _sync_tables (name) VALUES (lower(?))", arguments: [name])
        return db.lastInsertedRowID
    }

    func setPresent(_ id: Int64) throws {
        try db.execute(
            sql: "UPDATE _sync_tables SET is_absent = 0 WHERE id = ?", arguments: [id])
    }

    /// Marks all other tables as absent. They keep their triggers: they may come back, or another
    /// process may sync them.
    func setAbsent(exceptFor tables: [TableSchema]) throws {
        let numbers = tables.map { String($0.id) }.joined(separator: ", ")
        try db.execute(
            sql: """
                UPDATE _sync_tables SET is_absent = 1
                WHERE is_absent = 0 AND id NOT IN (\(numbers))
                """)
    }

    /// Records that a table that comes back later must be compared with the new history.
    func recordNewHistory() throws {
        try db.execute(
            sql: "UPDATE _sync_tables SET is_absent = ? WHERE is_absent = ?",
            arguments: [Absence.sinceOldHistory, Absence.absent])
    }

    /// A device that starts over has no old history.
    func forgetOldHistory() throws {
        try db.execute(sql: "UPDATE _sync_tables SET is_absent = min(is_absent, 1)")
    }

    /// The values of `_sync_tables.rebuilt`.
    enum Rebuilding: Int, DatabaseValueConvertible {
        case none = 0
        case unchecked = 1
        case local = 2
    }

    func rebuilding(of id: Int64) throws -> Rebuilding {
        try MetadataRow.first(
            of: Self.name, db, sql: "SELECT rebuilt FROM _sync_tables WHERE id = ?", [id]
        )?.choice("rebuilt") ?? .none
    }

    func setRebuilding(_ rebuilding: Rebuilding, of id: Int64) throws {
        try db.execute(
            sql: "UPDATE _sync_tables SET rebuilt = ? WHERE id = ?", arguments: [rebuilding, id])
    }

    /// The tables whose rows are to be compared with the log's.
    func unchecked() throws -> Set<Int64> {
        try Int64.fetchSet(
            db, sql: "SELECT id FROM _sync_tables WHERE rebuilt = ?",
            arguments: [Rebuilding.unchecked])
    }

    /// The existing tables, with whether each one's triggers are on it.
    func capturing() throws -> [Int64: Bool] {
        let rows = try Row.fetchAll(
            db,
            sql: """
                SELECT t.id, EXISTS (
                  SELECT 1 FROM sqlite_master g WHERE g.type = 'trigger'
                    AND g.name GLOB '_sync_' || t.id || '_*' AND lower(g.tbl_name) = t.name)
                FROM _sync_tables t WHERE t.id IN (\(Self.stillThere))
                """)
        return Dictionary(rows.map { ($0[0], $0[1]) }, uniquingKeysWith: { first, _ in first })
    }

    /// The columns that the table had at the last start, by lower-case name; nil if none are
    /// recorded.
    func columns(of id: Int64) throws -> [String]? {
        try MetadataRow.first(
            of: Self.name, db, sql: "SELECT columns FROM _sync_tables WHERE id = ?", [id]
        )?.textIfAny("columns")?.split(separator: "\n").map(String.init)
    }

    func setColumns(_ names: [String], of id: Int64) throws {
        try db.execute(
            sql: "UPDATE _sync_tables SET columns = ? WHERE id = ?",
            arguments: [names.joined(separator: "\n"), id])
    }
}
