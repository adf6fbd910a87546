import GRDB

/// Touches of tables that were synced and are not any more. Their triggers stay, so that edits made
/// meanwhile are sent when the table is synced again and are compared with the server's rows then.
struct AbsentTables {
    let db: Database

    /// Stores a touch. The first touch of each row is enough: it has the row as the server knows
    /// it.
    func keep(_ touch: Touch) throws {
        try db.cachedStatement(
            sql: "INSERT OR IGNORE INTO _sync_absent (tbl, key, kind, image) VALUES (?, ?, ?, ?)"
        ).execute(arguments: [touch.tableID, touch.local, touch.kind.rawValue, touch.image])
    }

    /// The number of rows with stored edits.
    func count() throws -> Int {
        try Int.fetchOne(
            db,
            sql: """
                SELECT count(*) FROM (
                  SELECT tbl, key FROM _sync_absent
                  WHERE key IS NOT NULL AND tbl IN (\(SyncedTables.stillThere))
                  EXCEPT SELECT tbl, coalesce(local, key) FROM _sync_pending)
                """) ?? 0
    }

    /// Moves the touches of a table back into the log.
    func restore(table id: Int64) throws {
        try TouchLog(db: db).addAbsent(ofTable: id)
        try db.execute(sql: "DELETE FROM _sync_absent WHERE tbl = ?", arguments: [id])
    }

    func removeAll() throws { try db.execute(sql: "DELETE FROM _sync_absent") }
}
