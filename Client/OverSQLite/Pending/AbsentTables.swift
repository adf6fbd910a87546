import GRDB

/// Touches of tables that were synced and are not now. Their triggers stay, so that edits made meanwhile are sent
/// when a table comes back, and meet what the server's rows have become.
struct AbsentTables {
    /// What `_sync_tables.is_absent` says.
    enum Absence: Int, DatabaseValueConvertible {
        case none = 0
        case absent = 1
        /// Meanwhile the server has begun another history, or lost the end of its own.
        case sinceOldHistory = 2
    }

    /// Numbers of the tables that are still in the database. What waits of one that was dropped went with it.
    static let stillThere = """
        SELECT t.id FROM _sync_tables t
        JOIN sqlite_master m ON m.type = 'table' AND lower(m.name) = t.name
        """

    let db: Database

    /// A table that comes back after this has to be compared with the new history.
    func noteNewHistory() throws {
        try db.execute(
            sql: "UPDATE _sync_tables SET is_absent = ? WHERE is_absent = ?",
            arguments: [Absence.sinceOldHistory, Absence.absent])
    }

    /// Puts a touch aside. The first of each row is enough: it has the row as the server knows it.
    func keep(_ touch: Touch) throws {
        try db.cachedStatement(
            sql: "INSERT OR IGNORE INTO _sync_absent (tbl, key, kind, image) VALUES (?, ?, ?, ?)"
        ).execute(arguments: [touch.tableID, touch.local, touch.kind.rawValue, touch.image])
    }

    /// Rows with edits that were put aside.
    func count() throws -> Int {
        try Int.fetchOne(
            db,
            sql: """
                SELECT count(*) FROM (
                  SELECT tbl, key FROM _sync_absent
                  WHERE key IS NOT NULL AND tbl IN (\(Self.stillThere))
                  EXCEPT SELECT tbl, coalesce(local, key) FROM _sync_pending)
                """) ?? 0
    }

    /// Puts the touches of a table back into the log.
    func restore(table id: Int64) throws {
        // Later touches that nobody has folded are before them in the log now: the first has the image.
        try db.execute(
            sql: """
                UPDATE _sync_log SET image = a.image FROM _sync_absent a
                WHERE _sync_log.tbl = :id AND _sync_log.seq > (SELECT folded FROM _sync_state)
                  AND a.tbl = :id AND a.kind = :app AND a.key IS _sync_log.key;
                INSERT INTO _sync_log (tbl, key, kind, image)
                SELECT tbl, key, kind, image FROM _sync_absent WHERE tbl = :id ORDER BY seq;
                DELETE FROM _sync_absent WHERE tbl = :id;
                """, arguments: ["id": id, "app": Touch.Kind.app.rawValue])
    }
}
