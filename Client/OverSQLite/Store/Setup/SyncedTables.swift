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

    /// Gives a table a number that is in no entry and in no row of the library's: the entry of such
    /// rows may be lost.
    ///
    /// - Returns: the number.
    func add(_ name: String) throws -> Int64 {
        let used = [
            "_sync_log", "_sync_absent", "_sync_rows", "_sync_pending", "_sync_key_leases",
        ].map {
            "UNION ALL SELECT max(tbl) FROM \($0) WHERE tbl BETWEEN 1 AND :limit"
        }
        try db.execute(
            sql: """
                INSERT INTO _sync_tables (id, name)
                SELECT CAST(coalesce(max(number), 0) AS INTEGER) + 1, lower(:name) FROM (
                  SELECT max(id) AS number FROM _sync_tables \(used.joined(separator: " ")))
                """, arguments: ["name": name, "limit": Self.credible])
        return db.lastInsertedRowID
    }

    /// Numbers in the library's rows beyond this one are damage, and not a table's.
    private static let credible: Int64 = 1_000_000

    /// Refuses a list that cannot be read, or lacks a table that has triggers: a table that got
    /// another number would lose its edits, or send those of another table.
    func checkComplete() throws {
        let known = try MetadataRow.all(
            of: Self.name, db, sql: "SELECT id, name FROM _sync_tables"
        ).map { row in
            _ = try row.text("name")
            return try row.number("id")
        }
        let numbers = try TableTriggers(db: db).tables()
        if let missing = numbers.keys.filter({ !known.contains($0) }).min() {
            throw SyncError.damagedMetadata("\(Self.name) lacks the table \(missing)")
        }
        for table in Self.numbered { try checkNumbers(in: table) }
    }

    /// The library's tables whose rows begin with the number of a table, in an index.
    private static let numbered = [
        "_sync_rows", "_sync_pending", "_sync_absent", "_sync_sent", "_sync_held", "_sync_extra",
        "_sync_unseen", "_sync_lost",
    ]

    /// Refuses rows whose number cannot be read. No query would find them, and without them a
    /// deletion would look like that of a row that the server never had. SQLite sorts all other
    /// values before or after the numbers.
    private func checkNumbers(in table: String) throws {
        for order in ["ASC", "DESC"] {
            _ = try MetadataRow.first(
                of: table, db, sql: "SELECT tbl FROM \(table) ORDER BY tbl \(order) LIMIT 1"
            )?.number("tbl")
        }
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

    /// Records that a table that comes back or is opened later must be compared with the new
    /// history.
    func recordNewHistory() throws {
        try db.execute(
            sql: "UPDATE _sync_tables SET is_absent = ? WHERE is_absent = ?",
            arguments: [Absence.sinceOldHistory, Absence.absent])
        try db.execute(
            sql: "UPDATE _sync_tables SET access = ? WHERE access = ?",
            arguments: [TableAccess.closedSinceOldHistory, TableAccess.closed])
    }

    /// A device that starts over has no old history, and asks again what its user may read.
    func forgetOldHistory() throws {
        try db.execute(
            sql: "UPDATE _sync_tables SET is_absent = min(is_absent, 1), access = 0")
    }

    /// The values of `_sync_tables.rebuilt`.
    enum Rebuilding: Int, DatabaseValueConvertible {
        case none = 0
        case unchecked = 1
        case local = 2
        /// A repair has lost touches of the table. The next start treats it as rebuilt.
        case damaged = 3
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

// MARK: - Access

extension SyncedTables {
    func access(of id: Int64) throws -> TableAccess {
        try MetadataRow.first(
            of: Self.name, db, sql: "SELECT access FROM _sync_tables WHERE id = ?", [id]
        )?.choice("access") ?? .open
    }

    /// The numbers of the tables that the user may not read.
    func closed() throws -> Set<Int64> {
        try Int64.fetchSet(
            db, sql: "SELECT id FROM _sync_tables WHERE access IN \(TableAccess.closedSQL)")
    }

    /// The numbers of the tables that are being read because they were opened.
    func opening() throws -> Set<Int64> {
        try Int64.fetchSet(
            db, sql: "SELECT id FROM _sync_tables WHERE access = ?",
            arguments: [TableAccess.opening])
    }

    func setAccess(_ access: TableAccess, of id: Int64) throws {
        try db.execute(
            sql: "UPDATE _sync_tables SET access = ? WHERE id = ?", arguments: [access, id])
    }

    /// Runs when the log has been read as far as the opened tables needed it.
    func finishOpening() throws {
        try db.cachedStatement(sql: "UPDATE _sync_tables SET access = ? WHERE access = ?")
            .execute(arguments: [TableAccess.open, TableAccess.opening])
    }
}
