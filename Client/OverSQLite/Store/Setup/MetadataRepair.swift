import GRDB

/// Rebuilds the library's own tables. Values that cannot be read are removed; what they stood for
/// is found again by reading the server's log from its start. What may be lost:
/// ``SyncEngine/repairMetadata(in:user:)``.
///
/// A row whose place in the queue is damaged is touched anew, so that it is sent as it is now.
/// Where not even that can be told, the next start compares every row with the server's, as for a
/// table that the app has made anew.
struct MetadataRepair {
    let db: Database
    /// What was damaged, as `table.column: rows`.
    private(set) var damage: [String] = []
    /// Whether edits may be pending of which nothing is left but the rows themselves.
    private var comparesRows = false

    init(db: Database) { self.db = db }

    /// - Parameter user: whose rows these are, for a database that no longer tells.
    mutating func run(user: String?) throws {
        let names = try Set(
            String.fetchAll(
                db, sql: "SELECT name FROM sqlite_master WHERE name GLOB '_sync_*'"))
        guard MetadataColumns.all.contains(where: { names.contains($0.table) }) else { return }
        try refuseNewer(names)
        try db.execute(sql: "CREATE TEMP TABLE _sync_again (tbl, key)")
        for entry in try Self.model() { try rebuild(entry, exists: names.contains(entry.name)) }
        try db.execute(
            sql: """
                INSERT INTO _sync_state (id, format, user_id) SELECT 1, ?, ?
                WHERE NOT EXISTS (SELECT 1 FROM _sync_state)
                """, arguments: [MetadataTables.format, user])
        if db.changesCount > 0 { damage.append("_sync_state: no row") }
        try numberTouches()
        try db.execute(
            sql: """
                \(TouchLog.append("tbl, key")) SELECT tbl, key FROM temp._sync_again;
                DROP TABLE temp._sync_again;
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
        "_sync_tables", "_sync_log", "_sync_absent", "_sync_pending", "_sync_rows",
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

    /// Creates a table anew with those of its rows that can be read.
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
        let found = Set(try Self.columns(of: copy, db))
        for column in MetadataColumns.all where column.table == table {
            if !found.contains(column.name) {
                try db.execute(
                    sql: "ALTER TABLE \(copy) ADD COLUMN \(column.name.quotedIdentifier)")
            }
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
                        INSERT INTO temp._sync_again SELECT tbl, coalesce(local, key) FROM \(copy)
                        WHERE \(isBad) AND typeof(tbl) = 'integer' AND typeof(key) = 'text';
                        """)
                try db.execute(sql: "DELETE FROM \(copy) WHERE \(isBad)")
            case .nothing, .comparison:
                try db.execute(sql: "DELETE FROM \(copy) WHERE \(isBad)")
            }
            let count = db.changesCount
            guard count > 0 else { continue }
            damage.append("\(table).\(column.name): \(count)")
            if column.instead == .comparison { comparesRows = true }
        }
    }

    // MARK: Numbers

    /// Gives touches whose numbers are beyond the bounds new ones, and lets those count as not
    /// folded of which that is not known.
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
        if damage.contains(where: { $0.hasPrefix("_sync_extra") }) {
            try db.execute(sql: "UPDATE _sync_rows SET version = max(version - 1, 0), term = NULL")
        }
        try UnseenRows(db: db).begin()
        try DeviceStateTable(db: db).beginReread(.historyPruned, epoch: nil)
        guard comparesRows else { return }
        // Without its triggers, a table counts as made anew.
        let triggers = try String.fetchAll(
            db,
            sql: """
                SELECT name FROM sqlite_master
                WHERE type = 'trigger' AND name GLOB '_sync_[0-9]*_*'
                """)
        for name in triggers { try db.execute(sql: "DROP TRIGGER \(name.quotedIdentifier)") }
    }
}
