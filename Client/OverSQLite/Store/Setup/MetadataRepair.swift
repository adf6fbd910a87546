import GRDB

/// Rebuilds the library's own tables. Values that cannot be read are removed; what they stood for
/// is found again by reading the server's log from its start. What may be lost:
/// ``SyncEngine/repairMetadata(in:user:)``.
///
/// A row whose place in the queue is damaged is touched again, so that it is sent as it is now. If
/// even the row is unknown, the next start compares every row with the server's, as for a table
/// that the app has rebuilt. The numbers of tables are found again in their triggers.
struct MetadataRepair {
    let db: Database
    /// What was damaged, as `table.column: rows`.
    private(set) var damage: [String] = []
    /// Whether edits may be pending that left no trace except the rows themselves.
    private var comparesRows = false

    init(db: Database) { self.db = db }

    /// - Parameter user: whose rows these are, for a database that no longer tells.
    mutating func run(user: String?) throws {
        let names = try Set(
            String.fetchAll(
                db, sql: "SELECT name FROM sqlite_master WHERE name GLOB '_sync_*'"))
        guard MetadataColumns.all.contains(where: { names.contains($0.table) }) else { return }
        try refuseNewer(names)
        try db.execute(sql: "CREATE TEMP TABLE _sync_again (tbl, key, kind, image)")
        try createKeys(names)
        for entry in try Self.model() { try rebuild(entry, exists: names.contains(entry.name)) }
        try db.execute(
            sql: """
                INSERT INTO _sync_state (id, format, user_id) SELECT 1, ?, ?
                WHERE NOT EXISTS (SELECT 1 FROM _sync_state)
                """, arguments: [MetadataTables.format, user])
        if db.changesCount > 0 { damage.append("_sync_state: no row") }
        try restoreTables()
        try numberTouches()
        if !damage.isEmpty { try touchSentDeletions() }
        try db.execute(
            sql: """
                \(TouchLog.append("tbl, key, kind, image"))
                SELECT tbl, key, kind, image FROM temp._sync_again;
                DROP TABLE temp._sync_again;
                DROP TABLE temp._sync_keys;
                UPDATE _sync_state SET user_id = coalesce(user_id, :user),
                  next_change_id = max(next_change_id,
                    coalesce((SELECT max(change_id) + 1 FROM _sync_sent), 1));
                """, arguments: ["user": user])
        if !damage.isEmpty { try readAgain() }
    }

    /// - Throws: `SyncError.newerMetadata` for tables that a newer version has made: this one does
    ///   not know all of them.
    private func refuseNewer(_ names: Set<String>) throws {
        guard names.contains("_sync_state"),
            try db.columns(in: "_sync_state").contains(where: { $0.name == "format" }),
            let format = try Int.fetchOne(
                db,
                sql: """
                    SELECT format FROM _sync_state
                    WHERE typeof(format) = 'integer' AND format BETWEEN ? AND ?
                    """, arguments: [MetadataTables.format + 1, ProtocolNumber.maximum])
        else { return }
        throw SyncError.newerMetadata(format: format)
    }

    // MARK: Tables

    /// The tables that say which rows the app has, and which of them it has edited.
    private static let books: Set<String> = [
        "_sync_log", "_sync_absent", "_sync_pending", "_sync_rows",
    ]

    /// The tables as this version creates them: names and texts.
    private static func model() throws -> [(name: String, sql: String)] {
        try DatabaseQueue().write { db in
            try MetadataTables.create(in: db)
            return try Row.fetchAll(
                db, sql: "SELECT name, sql FROM sqlite_master WHERE type = 'table'"
            ).map { (try $0.decode(forColumn: "name"), try $0.decode(forColumn: "sql")) }
        }
    }

    /// Rebuilds a table with those of its rows that can be read.
    private mutating func rebuild(_ entry: (name: String, sql: String), exists: Bool) throws {
        let old = "temp._sync_old"
        if exists {
            try db.execute(sql: "CREATE TEMP TABLE _sync_old AS SELECT * FROM main.\(entry.name)")
            try replaceUnreadable(entry.name, in: old)
            try db.execute(sql: "DROP TABLE main.\(entry.name)")
        } else {
            damage.append("\(entry.name): no such table")
            if Self.books.contains(entry.name) { comparesRows = true }
        }
        try db.execute(sql: entry.sql)
        guard exists else { return }
        let known = Set(try db.columns(in: entry.name).map(\.name))
        let columns = try Self.columns(of: old, db).filter(known.contains)
            .map(\.quotedIdentifier).joined(separator: ", ")
        try db.execute(
            sql: """
                INSERT OR IGNORE INTO main.\(entry.name) (\(columns)) SELECT \(columns) FROM \(old);
                DROP TABLE \(old);
                """)
    }

    private static func columns(of table: String, _ db: Database) throws -> [String] {
        try db.makeStatement(sql: "SELECT * FROM \(table)").columnNames
    }

    /// Replaces what cannot be read, in a copy of a table that has no constraints.
    private mutating func replaceUnreadable(_ table: String, in copy: String) throws {
        var found = Set(try Self.columns(of: copy, db))
        let columns = MetadataColumns.all.filter { $0.table == table }
        for column in columns where found.insert(column.name).inserted {
            try db.execute(
                sql: "ALTER TABLE \(copy) ADD COLUMN \(column.name.quotedIdentifier)")
            damage.append("\(table).\(column.name): no such column")
            if [.comparison, .table].contains(column.instead) { comparesRows = true }
        }
        for column in columns {
            let isBad = "coalesce(NOT (\(column.isGood)), 1)"
            switch column.instead {
            case .value(let value):
                try db.execute(
                    sql: """
                        UPDATE \(copy) SET \(column.name.quotedIdentifier) = \(value) WHERE \(isBad)
                        """)
            case .touch:
                try db.execute(
                    sql: """
                        INSERT INTO temp._sync_again
                        SELECT tbl, coalesce(local, key),
                          iif(op IS 'DELETE', \(Touch.Kind.deleted.rawValue), 0),
                          iif(typeof(image) = 'text', image, NULL)
                        FROM \(copy)
                        WHERE \(isBad) AND typeof(tbl) = 'integer' AND typeof(key) = 'text';
                        """)
                try db.execute(sql: "DELETE FROM \(copy) WHERE \(isBad)")
            case .table:
                let lost = try findTables(copy, isBad)
                guard lost > 0 else { continue }
                damage.append("\(table).\(column.name): \(lost)")
                try db.execute(sql: "DELETE FROM \(copy) WHERE \(isBad)")
                if db.changesCount > 0 { comparesRows = true }
                continue
            case .nothing, .comparison, .triggers:
                try db.execute(sql: "DELETE FROM \(copy) WHERE \(isBad)")
            }
            let count = db.changesCount
            guard count > 0 else { continue }
            damage.append("\(table).\(column.name): \(count)")
            if column.instead == .comparison { comparesRows = true }
        }
    }

    /// Of a deletion that was sent and not answered, more than the queue tells.
    private func touchSentDeletions() throws {
        try db.execute(
            sql: """
                INSERT INTO temp._sync_again
                SELECT DISTINCT tbl, key, \(Touch.Kind.deleted.rawValue), NULL FROM _sync_sent
                WHERE op = 'DELETE' AND (tbl, key) NOT IN (SELECT tbl, key FROM _sync_pending)
                """)
    }

    /// Finds the tables of rows whose number of a table cannot be read: a key that only one table
    /// has tells it.
    ///
    /// - Returns: how many there are.
    private func findTables(_ copy: String, _ isBad: String) throws -> Int {
        let count = try Int.fetchOne(db, sql: "SELECT count(*) FROM \(copy) WHERE \(isBad)") ?? 0
        if count == 0 { return 0 }
        try db.execute(
            sql: """
                UPDATE \(copy) SET tbl = (
                  SELECT k.tbl FROM temp._sync_keys k WHERE k.key = _sync_old.key)
                WHERE \(isBad)
                """)
        return count
    }

    /// The keys that only one table has, as its rows spell them and as they are sent.
    private func createKeys(_ names: Set<String>) throws {
        try db.execute(sql: "CREATE TEMP TABLE _sync_keys (key PRIMARY KEY, tbl)")
        let columns =
            try names.contains("_sync_rows") ? db.columns(in: "_sync_rows").map(\.name) : []
        guard Set(columns).isSuperset(of: ["tbl", "key", "local"]) else { return }
        for spelling in ["coalesce(local, key)", "key"] {
            try db.execute(
                sql: """
                    INSERT OR IGNORE INTO temp._sync_keys (key, tbl)
                    SELECT \(spelling), min(tbl) FROM _sync_rows
                    WHERE typeof(tbl) = 'integer' GROUP BY 1 HAVING min(tbl) = max(tbl)
                    """)
        }
    }

    // MARK: Numbers

    /// Enters the tables that are missing among the synced ones, under the numbers that their
    /// triggers have: the library's rows go by those. What else the entries said is unknown, so
    /// they count as rebuilt tables and come back after the server has lost changes.
    private mutating func restoreTables() throws {
        let found = try TableTriggers(db: db).tables()
        for (number, name) in found.sorted(by: { $0.key < $1.key }) {
            try takeBackNumber(number, of: name, triggers: Set(found.keys))
            try db.execute(
                sql: """
                    INSERT OR IGNORE INTO _sync_tables (id, name, is_absent, rebuilt)
                    VALUES (?, ?, ?, ?)
                    """,
                arguments: [
                    number, name, SyncedTables.Absence.sinceOldHistory,
                    SyncedTables.Rebuilding.unchecked,
                ])
            if db.changesCount > 0 { damage.append("_sync_tables: lacked \(number)") }
        }
    }

    /// Corrects an entry under a number that no trigger has, while the table's triggers have one
    /// that no entry has.
    private mutating func takeBackNumber(
        _ number: Int64, of name: String, triggers: Set<Int64>
    ) throws {
        let wrong = try Int64.fetchOne(
            db,
            sql: """
                SELECT id FROM _sync_tables WHERE name = ?
                  AND NOT EXISTS (SELECT 1 FROM _sync_tables WHERE id = ?)
                """, arguments: [name, number])
        guard let wrong, !triggers.contains(wrong) else { return }
        try db.execute(
            sql: "UPDATE _sync_tables SET id = ? WHERE id = ?", arguments: [number, wrong])
        damage.append("_sync_tables.id: \(wrong) was \(number)")
    }

    /// Gives new numbers to touches whose numbers are out of bounds. Touches that may or may not be
    /// folded count as not folded.
    private mutating func numberTouches() throws {
        let last = """
            (SELECT max(n) FROM (
              SELECT coalesce(max(seq), 0) AS n FROM _sync_log WHERE seq <= :maximum
              UNION ALL SELECT coalesce(max(revision), 0) FROM _sync_pending
              UNION ALL SELECT coalesce(max(revision), 0) FROM _sync_sent
              UNION ALL SELECT coalesce(max(until), 0) FROM _sync_lost
              UNION ALL SELECT folded FROM _sync_state))
            """
        let bounds: StatementArguments = ["maximum": ProtocolNumber.maximum]
        try db.execute(
            sql: """
                CREATE TEMP TABLE _sync_beyond AS SELECT tbl, key, kind, image FROM _sync_log
                WHERE seq > :maximum OR seq < 1 ORDER BY seq
                """, arguments: bounds)
        try db.execute(
            sql: "DELETE FROM _sync_log WHERE seq > :maximum OR seq < 1", arguments: bounds)
        if db.changesCount > 0 { damage.append("_sync_log.seq: \(db.changesCount)") }
        try db.execute(
            sql: """
                UPDATE _sync_state SET folded = coalesce((SELECT min(seq) - 1 FROM _sync_log), 0)
                WHERE folded < 0
                """)
        // The touch that keeps its number. It is folded already, so its content means nothing.
        let number = try Int64.fetchOne(db, sql: "SELECT \(last)", arguments: bounds) ?? 0
        try db.execute(
            sql: """
                INSERT OR IGNORE INTO _sync_log (seq, tbl, kind)
                SELECT :number, 0, :kind WHERE :number > 0
                """, arguments: ["number": number, "kind": Touch.Kind.duringApply.rawValue])
        if db.changesCount > 0 {
            damage.append("_sync_log: ended before \(number)")
            comparesRows = true
        }
        try db.execute(
            sql: """
                \(TouchLog.append("tbl, key, kind, image"))
                SELECT tbl, key, kind, image FROM temp._sync_beyond ORDER BY rowid;
                DROP TABLE temp._sync_beyond;
                """)
    }

    // MARK: The server's rows

    /// Reads the log from its start, where every row is found that was not read for the damage.
    private func readAgain() throws {
        let provesHistory = try provesHistory()
        if damage.contains(where: { $0.hasPrefix("_sync_rows.version") }) {
            // A pending edit tells the version that it was made on.
            try db.execute(
                sql: """
                    UPDATE _sync_rows SET version = p.base FROM _sync_pending p
                    WHERE p.tbl = _sync_rows.tbl AND p.key = _sync_rows.key
                      AND _sync_rows.version = 0
                    """)
        }
        if damage.contains(where: { $0.hasPrefix("_sync_extra") }) { try forgetVersions() }
        try Reread(
            db: db, catalog: DeviceCatalog([]),
            reason: provesHistory ? .historyPruned : .newHistory
        ).begin(epoch: nil)
        try DeviceStateTable(db: db).forgetTables()
        guard comparesRows else { return }
        try db.execute(
            sql: "UPDATE _sync_tables SET rebuilt = ?",
            arguments: [SyncedTables.Rebuilding.damaged])
    }

    /// Lets the log bring rows as if they were new, with the values that were kept with them.
    ///
    /// Where edits may be unknown it must not replace rows: those that are compared get the values
    /// all the same.
    private func forgetVersions() throws {
        let edited = """
            WHERE (tbl, key) IN (SELECT tbl, key FROM _sync_pending)
              OR (tbl, \(KeyForm.spelledSQL(in: "_sync_rows"))) IN (
                SELECT tbl, key FROM _sync_log WHERE seq > (SELECT folded FROM _sync_state))
            """
        try db.execute(
            sql: """
                UPDATE _sync_rows SET version = max(version - 1, 0), term = NULL
                \(comparesRows ? edited : "")
                """)
    }

    /// Whether the next request will show if the server has lost changes. Otherwise it may have, or
    /// the device was just sending them again, and a row that only this device has must not pass
    /// for one that was deleted on the server.
    private func provesHistory() throws -> Bool {
        let isDamaged = damage.contains { line in
            Self.historyColumns.contains { line.hasPrefix("_sync_state.\($0):") }
                || line.hasPrefix("_sync_state:")
        }
        if isDamaged { return false }
        // Rows that wait to be seen reveal a reread. Its reason is lost if it is not recorded.
        return try Bool.fetchOne(
            db,
            sql: """
                SELECT history_seq > 0 AND (reread IS NOT NULL OR NOT EXISTS (
                  SELECT 1 FROM _sync_unseen)) FROM _sync_state
                """) ?? false
    }

    private static let historyColumns = ["epoch", "reread", "history_seq", "history_tag"]
}
