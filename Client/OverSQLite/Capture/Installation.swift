import GRDB

/// The synced tables, looked up by their names and numbers.
struct Catalog: Sendable {
    let tables: [TableSchema]
    private let byWireName: [String: Int]
    private let byID: [Int64: Int]
    /// Parents have lower ranks than the tables that refer to them; tables in a cycle share theirs.
    private let ranks: [Int64: Int]

    init(_ tables: [TableSchema]) {
        self.tables = tables
        byWireName = Dictionary(uniqueKeysWithValues: tables.enumerated().map { ($1.wireName, $0) })
        byID = Dictionary(uniqueKeysWithValues: tables.enumerated().map { ($1.id, $0) })
        ranks = Self.rank(tables)
    }

    func table(wireName: String) -> TableSchema? { byWireName[wireName].map { tables[$0] } }
    func table(id: Int64) -> TableSchema? { byID[id].map { tables[$0] } }
    func rank(ofTable id: Int64) -> Int { ranks[id] ?? 0 }

    /// Lifts every table above its parents, as often as a chain of tables can be long.
    private static func rank(_ tables: [TableSchema]) -> [Int64: Int] {
        var ranks = Dictionary(uniqueKeysWithValues: tables.map { ($0.wireName, 0) })
        for _ in tables {
            for table in tables {
                let above = table.parents.compactMap { ranks[$0] }.max().map { $0 + 1 } ?? 0
                ranks[table.wireName] = min(max(ranks[table.wireName] ?? 0, above), tables.count)
            }
        }
        return Dictionary(uniqueKeysWithValues: tables.map { ($0.id, ranks[$0.wireName] ?? 0) })
    }
}

/// Makes a database ready for sync; safe to repeat at every start.
struct Installation {
    let db: Database

    /// Creates metadata and triggers, adopts rows that were there before, and returns the tables.
    ///
    /// - Throws: `SyncError.unusableTable`, `SyncError.newerMetadata`, or a database error.
    func install(_ tables: [SyncTable], defaultPolicy: ConflictPolicy) throws -> Catalog {
        try MetadataTables.create(in: db)
        // Nothing else is in a transaction now, so a mark left here could only be a stray one.
        try db.execute(sql: "DELETE FROM _sync_applying")
        var schemas: [TableSchema] = []
        for table in tables {
            let id = try number(of: table.name)
            guard !schemas.contains(where: { $0.id == id }) else {
                throw SyncError.unusableTable(table.name, "it is named twice")
            }
            let schema = try TableInspection(db: db).schema(
                of: table, id: id, defaultPolicy: defaultPolicy)
            try prepare(schema)
            schemas.append(schema)
        }
        try noteAbsence(exceptOf: schemas)
        return Catalog(schemas)
    }

    /// The table's number; a table that joins later, or comes back, makes the device read the feed from its
    /// start again, since the rows of the table went past unread.
    private func number(of name: String) throws -> Int64 {
        let known = "SELECT id, is_absent FROM _sync_tables WHERE name = lower(?)"
        if let row = try Row.fetchOne(db, sql: known, arguments: [name]) {
            let absence: AbsentTables.Absence = row["is_absent"]
            if absence != .none { try comeBack(row["id"], absence) }
            return row["id"]
        }
        try db.execute(sql: "INSERT INTO _sync_tables (name) VALUES (lower(?))", arguments: [name])
        let id = db.lastInsertedRowID
        try db.execute(sql: "UPDATE _sync_state SET cursor = 0, window = 0, hydrated = 0")
        return id
    }

    /// Deletes may have gone past too, and be kept no more; that is the case of a device long away. Where the
    /// server has begun another history, what it has lost of the table is yet to be sent again.
    private func comeBack(_ id: Int64, _ absence: AbsentTables.Absence) throws {
        try db.execute(
            sql: "UPDATE _sync_tables SET is_absent = 0 WHERE id = ?", arguments: [id])
        let reason: RereadReason = absence == .sinceOldHistory ? .newHistory : .historyPruned
        try Reread(db: db, catalog: Catalog([]), reason: reason).begin(epoch: nil)
        try AbsentTables(db: db).restore(table: id)
    }

    private func prepare(_ table: TableSchema) throws {
        let wanted = CaptureTriggers(table: table).all
        let (found, hasOwn) = try triggers(of: table)
        let isCurrent =
            wanted.count == found.count && wanted.allSatisfy { found[$0.name] == $0.sql }
        if !isCurrent {
            for name in found.keys { try db.execute(sql: "DROP TRIGGER \(name.quotedIdentifier)") }
            for trigger in wanted { try db.execute(sql: trigger.sql) }
        }
        // Without its triggers the table may have been filled, or made anew by a migration.
        if !hasOwn {
            try forgetMissingRows(of: table)
            try adoptRows(of: table)
        }
        try adoptNewColumns(of: table)
    }

    /// Triggers follow a table that is renamed: there may be some of this table on another, and some of another
    /// on this.
    ///
    /// - Returns: the text of each by name, and whether any is this table's and on it.
    private func triggers(of table: TableSchema) throws -> (all: [String: String], hasOwn: Bool) {
        let rows = try Row.fetchAll(
            db,
            sql: """
                SELECT name, sql, name GLOB :own AND lower(tbl_name) = lower(:table) AS is_own FROM sqlite_master
                WHERE type = 'trigger' AND (
                  name GLOB :own OR lower(tbl_name) = lower(:table) AND name GLOB '_sync_[0-9]*_*')
                """, arguments: ["own": "_sync_\(table.id)_*", "table": table.name])
        return (
            Dictionary(uniqueKeysWithValues: rows.map { ($0["name"], $0["sql"]) }),
            rows.contains { $0["is_own"] }
        )
    }

    /// Of a row that is not in a table made anew nobody knows that it was deleted: it is read again.
    private func forgetMissingRows(of table: TableSchema) throws {
        // With the books' own names: the app's table may have columns `key` and `local`.
        func isMissing(from books: String) -> String {
            """
            tbl = \(table.id) AND NOT EXISTS (
              SELECT 1 FROM \(table.quotedName) t
              WHERE t.\(table.quotedKey) IS coalesce(\(books).local, \(books).key))
            """
        }
        try db.execute(
            sql:
                "DELETE FROM _sync_pending WHERE op <> 'DELETE' AND \(isMissing(from: "_sync_pending"))"
        )
        try db.execute(
            sql: """
                DELETE FROM _sync_rows WHERE deleted = 0 AND \(isMissing(from: "_sync_rows"))
                  AND (tbl, key) NOT IN (SELECT tbl, key FROM _sync_pending)
                """)
        guard db.changesCount > 0 else { return }
        try db.execute(
            sql: """
                DELETE FROM _sync_sent WHERE (tbl, key) NOT IN (SELECT tbl, key FROM _sync_pending);
                UPDATE _sync_state SET cursor = 0, window = 0, hydrated = 0
                """)
    }

    /// Touches every row that nothing is known of, so that rows older than the triggers are sent too.
    private func adoptRows(of table: TableSchema) throws {
        try db.execute(
            sql: """
                INSERT INTO _sync_log (tbl, key) SELECT \(table.id), \(table.quotedKey)
                FROM \(table.quotedName) AS t
                WHERE t.\(table.quotedKey) IS NULL OR t.\(table.quotedKey) NOT IN (
                  SELECT coalesce(r.local, r.key) FROM _sync_rows r
                  WHERE r.tbl = \(table.id) AND r.deleted = 0)
                """)
    }

    /// Gives a new column the values the server sent before the column was here.
    private func adoptNewColumns(of table: TableSchema) throws {
        let names = table.columns.map(\.wireName).joined(separator: "\n")
        let before = try String.fetchOne(
            db, sql: "SELECT columns FROM _sync_tables WHERE id = ?", arguments: [table.id])
        guard before != names else { return }
        if let before, !before.isEmpty {
            let known = Set(before.split(separator: "\n").map(String.init))
            let new = table.columns.filter { !known.contains($0.wireName) && !$0.isKey }
            try SetAsideColumns(db: db).unpack(new, of: table)
        }
        try db.execute(
            sql: "UPDATE _sync_tables SET columns = ? WHERE id = ?", arguments: [names, table.id])
    }

    /// A table that is no longer synced is watched all the same: it may return, or another process may sync it.
    private func noteAbsence(exceptOf tables: [TableSchema]) throws {
        let numbers = tables.map { String($0.id) }.joined(separator: ", ")
        try db.execute(
            sql:
                "UPDATE _sync_tables SET is_absent = 1 WHERE is_absent = 0 AND id NOT IN (\(numbers))"
        )
    }
}
