import GRDB

/// Removes the rows of tables that the user may not read any more.
///
/// Rows with pending edits stay, because no one else has these edits. The rows that they refer to
/// stay too. Rows of open tables that refer to a removed row go with it, and are read again: then
/// they are held, as on a device that has never had their parent. No deletion is sent: the server
/// has all these rows.
struct ClosedTables {
    let db: Database
    let catalog: DeviceCatalog

    struct Removal {
        /// Rows of closed tables.
        var removed = 0
        /// Open tables that also lost rows.
        var bereft: [TableSchema] = []
    }

    /// Whether there are rows to remove.
    func haveRows() throws -> Bool {
        try Int.fetchOne(
            db,
            sql: """
                SELECT 1 FROM _sync_rows r WHERE r.deleted = 0
                  AND r.tbl IN (
                    SELECT id FROM _sync_tables WHERE access IN \(TableAccess.closedSQL))
                  AND NOT EXISTS (
                    SELECT 1 FROM _sync_pending p WHERE p.tbl = r.tbl AND p.key = r.key)
                LIMIT 1
                """) != nil
    }

    /// Runs under apply mode, with foreign keys deferred, after the log was folded.
    func removeRows(_ tables: TableWriters) throws -> Removal {
        let closed = try SyncedTables(db: db).closed()
        guard try haveRows() else { return Removal() }
        try db.execute(
            sql: """
                CREATE TEMP TABLE _sync_leaving (
                  tbl INTEGER, local, round INTEGER, PRIMARY KEY (tbl, local));
                CREATE TEMP TABLE _sync_staying (
                  tbl INTEGER, local, round INTEGER, PRIMARY KEY (tbl, local));
                """)
        try findStaying()
        let start = try TouchLog(db: db).lastSequence()
        var gone = try delete(of: closed, tables)
        try db.execute(sql: "DROP TABLE temp._sync_leaving; DROP TABLE temp._sync_staying")
        gone += try swept(after: start, beside: gone)
        var result = Removal()
        for (table, local) in gone {
            if let key = table.keyForm.key(fromLocal: local) { try forget(table, key, tables) }
            if closed.contains(table.id) { result.removed += 1 }
            tables.rememberChange(in: table)
        }
        let touched = Set(gone.map { $0.table.id })
        result.bereft = catalog.tables.filter {
            touched.contains($0.id) && !closed.contains($0.id)
        }
        return result
    }

    /// The rows of synced tables that went with others though no foreign key between synced tables
    /// says so: a trigger of the app's deleted them, or a foreign key of a table that is not
    /// synced.
    private func swept(
        after start: Int64, beside gone: [LocalRowName]
    ) throws -> [LocalRowName] {
        let named = Set(gone.map { SweptRow(table: $0.table.id, local: $0.local) })
        return try TouchLog(db: db).deletedDuringApply(after: start).compactMap { id, local in
            guard let table = catalog.table(id: id),
                !named.contains(SweptRow(table: id, local: local)),
                try RespelledKeys(db: db).live([local], in: table) == nil
            else { return nil }
            return (table, local)
        }
    }

    private struct SweptRow: Hashable {
        let table: Int64
        let local: DatabaseValue
    }

    private func forget(
        _ table: TableSchema, _ key: DeviceRowKey, _ tables: TableWriters
    ) throws {
        try tables.known.forget(table, key)
        try SetAsideColumns(db: db).remove(table, key)
        try HeldRows(db: db).release(table, key)
    }
}

// MARK: - Which rows go

extension ClosedTables {
    /// Where foreign keys are not enforced, rows may stay without their parents.
    private var enforcesForeignKeys: Bool {
        get throws { try Bool.fetchOne(db, sql: "PRAGMA foreign_keys") ?? false }
    }

    /// Finds the rows with pending edits, those of tables that are not synced at present, and what
    /// either refers to.
    private func findStaying() throws {
        try db.execute(
            sql: """
                INSERT INTO temp._sync_staying (tbl, local, round)
                SELECT tbl, coalesce(local, key), 0 FROM _sync_pending WHERE op <> 'DELETE'
                """)
        guard try enforcesForeignKeys else { return }
        for (parent, referrer) in references() {
            guard catalog.table(wireName: referrer.table.lowercased()) == nil,
                try SyncedTables(db: db).entry(named: referrer.table) != nil
            else { continue }
            try db.execute(
                sql: """
                    INSERT OR IGNORE INTO temp._sync_staying (tbl, local, round)
                    SELECT \(parent.id), p.\(parent.quotedKey), 0
                    FROM \(referrer.table.quotedIdentifier) AS c
                    JOIN \(parent.quotedName) AS p ON \(referrer.pairsSQL)
                    """)
        }
        try keepParents(from: 0)
    }

    /// Adds what the staying rows refer to, and so on.
    ///
    /// - Parameter round: that of the rows whose parents are not there yet.
    private func keepParents(from round: Int) throws {
        guard try enforcesForeignKeys else { return }
        try follow(from: round) { parent, child, pairs in
            """
            INSERT OR IGNORE INTO temp._sync_staying (tbl, local, round)
            SELECT :parent, p.\(parent.quotedKey), :round + 1
            FROM temp._sync_staying s
            JOIN \(child.quotedName) AS c ON c.\(child.quotedKey) = s.local
            JOIN \(parent.quotedName) AS p ON \(pairs)
            WHERE s.tbl = :child AND s.round = :round
            """
        }
    }

    /// Finds the rows of closed tables that may go, and what refers to them.
    private func findLeaving(_ closed: Set<Int64>) throws {
        let numbers = closed.map(String.init).joined(separator: ", ")
        try db.execute(
            sql: """
                DELETE FROM temp._sync_leaving;
                INSERT INTO temp._sync_leaving (tbl, local, round)
                SELECT r.tbl, coalesce(r.local, r.key), 0 FROM _sync_rows r
                WHERE r.tbl IN (\(numbers)) AND r.deleted = 0
                  AND NOT EXISTS (
                    SELECT 1 FROM _sync_pending p WHERE p.tbl = r.tbl AND p.key = r.key)
                  AND NOT EXISTS (
                    SELECT 1 FROM temp._sync_staying s
                    WHERE s.tbl = r.tbl AND s.local = coalesce(r.local, r.key));
                """)
        guard try enforcesForeignKeys else { return }
        try follow(from: 0) { parent, child, pairs in
            """
            INSERT OR IGNORE INTO temp._sync_leaving (tbl, local, round)
            SELECT :child, c.\(child.quotedKey), :round + 1
            FROM temp._sync_leaving l
            JOIN \(parent.quotedName) AS p ON p.\(parent.quotedKey) = l.local
            JOIN \(child.quotedName) AS c ON \(pairs)
            WHERE l.tbl = :parent AND l.round = :round
            """
        }
    }

    /// Runs a statement for each foreign key between synced tables, round by round, until it finds
    /// no more rows.
    ///
    /// - Parameter statement: made of the parent, the child `c`, and how it refers to the parent
    ///   `p`.
    private func follow(
        from first: Int, _ statement: (TableSchema, TableSchema, String) -> String
    ) throws {
        let keys = references().compactMap { parent, referrer in
            catalog.table(wireName: referrer.table.lowercased()).map { child in
                (parent, child, statement(parent, child, referrer.pairsSQL))
            }
        }
        var round = first
        var hasNews = !keys.isEmpty
        while hasNews {
            hasNews = false
            for (parent, child, sql) in keys {
                try db.cachedStatement(sql: sql).execute(arguments: [
                    "parent": parent.id, "child": child.id, "round": round,
                ])
                hasNews = hasNews || db.changesCount > 0
            }
            round += 1
        }
    }

    /// Keeps rows that refer to one that would go and are not the server's, such as those of a
    /// local migration.
    ///
    /// - Returns: whether there are any, so that fewer rows go than was found.
    private func keepUnknown(_ tables: TableWriters) throws -> Bool {
        var unknown: [LocalRowName] = []
        for row in try Row.fetchAll(
            db, sql: "SELECT tbl, local FROM temp._sync_leaving WHERE round > 0")
        {
            guard let table = catalog.table(id: row[0]) else { continue }
            let local: DatabaseValue = row[1]
            let key = table.keyForm.key(fromLocal: local)
            if let key, try tables.known.find(table, key) != nil { continue }
            unknown.append((table, local))
        }
        try keep(unknown)
        return !unknown.isEmpty
    }

    /// Keeps rows and what they refer to.
    private func keep(_ rows: [LocalRowName]) throws {
        if rows.isEmpty { return }
        let last = try Int.fetchOne(db, sql: "SELECT max(round) FROM temp._sync_staying") ?? 0
        let statement = try db.cachedStatement(
            sql: "INSERT OR IGNORE INTO temp._sync_staying (tbl, local, round) VALUES (?, ?, ?)")
        for row in rows { try statement.execute(arguments: [row.table.id, row.local, last + 1]) }
        try keepParents(from: last + 1)
    }

    private func references() -> [(parent: TableSchema, referrer: Referrer)] {
        catalog.tables.flatMap { table in table.referrers.map { (table, $0) } }
    }
}

// MARK: - Deleting

extension ClosedTables {
    private typealias LocalRowName = (table: TableSchema, local: DatabaseValue)

    /// Deletes rows of closed tables and what refers to them.
    ///
    /// A row stays that this database keeps from being deleted, as a table that is not synced may
    /// refer to it, or with which a row would go that has to stay. Then what refers to that row
    /// stays, too.
    ///
    /// - Returns: the rows that are gone.
    private func delete(of closed: Set<Int64>, _ tables: TableWriters) throws -> [LocalRowName] {
        while true {
            repeat { try findLeaving(closed) } while try keepUnknown(tables)
            // Those that refer to others go first.
            let rows: [LocalRowName] = try Row.fetchAll(
                db, sql: "SELECT tbl, local FROM temp._sync_leaving ORDER BY round DESC"
            ).compactMap { row in catalog.table(id: row[0]).map { ($0, row[1]) } }
            if try rows.isEmpty || delete(rows[...], tables) { return rows }
            let blocked = try deleteEach(rows, tables)
            if blocked.isEmpty { return rows }
            try keep(blocked)
        }
    }

    /// Deletes rows one by one, as long as one makes way for others.
    ///
    /// - Returns: those that stay. If there are any, none is deleted.
    private func deleteEach(
        _ rows: [LocalRowName], _ tables: TableWriters
    ) throws -> [LocalRowName] {
        var rest = rows
        try db.inSavepoint {
            var isMoving = true
            while isMoving, !rest.isEmpty {
                let left = try rest.filter { try !delete([$0], tables) }
                isMoving = left.count < rest.count
                rest = left
            }
            return rest.isEmpty ? .commit : .rollback
        }
        return rest
    }

    /// Deletes all of some rows, or none.
    private func delete(_ rows: ArraySlice<LocalRowName>, _ tables: TableWriters) throws -> Bool {
        let wasOpen = db.hasOpenForeignKeys
        let start = try TouchLog(db: db).lastSequence()
        var areGone = false
        do {
            try db.inSavepoint {
                for row in rows { try tables.writer(row.table).delete(local: row.local) }
                areGone = try (wasOpen || !db.hasOpenForeignKeys) && !sweepsStaying(after: start)
                return areGone ? .commit : .rollback
            }
        } catch let error as DatabaseError where error.isOfTheRow {
            areGone = false
        }
        return areGone
    }

    /// Whether a row is gone that has to stay, or one of a table that is not synced at present:
    /// such a table's rows cannot be read again.
    private func sweepsStaying(after start: Int64) throws -> Bool {
        let staying = try db.cachedStatement(
            sql: "SELECT 1 FROM temp._sync_staying WHERE tbl = ? AND local = ?")
        return try TouchLog(db: db).deletedDuringApply(after: start).contains { id, local in
            guard let table = catalog.table(id: id) else { return true }
            guard try Int.fetchOne(staying, arguments: [id, local]) != nil else { return false }
            return try RespelledKeys(db: db).live([local], in: table) == nil
        }
    }
}
