import GRDB

/// `_sync_lost`, the versions of rows that the server had confirmed and has lost. No other file
/// writes it.
///
/// Each device sends the rows that it knows again, and some know newer versions than others. A row
/// is sent with the version that was lost, so that the server gives it at least that version and
/// the newest one wins, in whatever order the devices come.
struct LostVersions {
    let db: Database

    /// Records the rows of a table that a reread has found in an older version only, or not at
    /// all. Runs before ``KnownRows/takeSeenVersions(in:)``.
    func addUnseen(in table: TableSchema) throws {
        try db.execute(
            sql: """
                INSERT INTO _sync_lost (tbl, key, version, until)
                SELECT u.tbl, u.key, r.version, 0
                FROM _sync_unseen u JOIN _sync_rows r USING (tbl, key)
                WHERE u.tbl = ? AND r.version > coalesce(u.seen, 0)
                ON CONFLICT (tbl, key) DO UPDATE
                SET version = max(version, excluded.version), until = 0
                """, arguments: [table.id])
    }

    /// Records which touch is the last one that the reread has made.
    func finish(until sequence: Int64) throws {
        try db.execute(
            sql: "UPDATE _sync_lost SET until = ? WHERE until = 0", arguments: [sequence])
    }

    /// Forgets the rows that the server has again. Runs before a reread.
    func removeRestored() throws {
        try db.execute(
            sql: """
                DELETE FROM _sync_lost WHERE EXISTS (
                  SELECT 1 FROM _sync_rows r
                  WHERE r.tbl = _sync_lost.tbl AND r.key = _sync_lost.key
                    AND r.version >= _sync_lost.version)
                """)
    }

    func removeAll() throws { try db.execute(sql: "DELETE FROM _sync_lost") }

    var isEmpty: Bool {
        get throws { try Int.fetchOne(db, sql: "SELECT 1 FROM _sync_lost LIMIT 1") == nil }
    }

    /// The version of a row that the server has lost; nil if it has a version as new as that.
    func version(of pending: PendingRow) throws -> Int64? {
        try Int64.fetchOne(
            db.cachedStatement(
                sql: "SELECT version FROM _sync_lost WHERE tbl = ? AND key = ? AND version > ?"),
            arguments: [pending.tableID, pending.key.wire, pending.base])
    }

    /// The same for a row that is only sent again: the app has not edited it since the reread, nor
    /// had it edited it before.
    func version(ofUnedited pending: PendingRow) throws -> Int64? {
        guard pending.image == nil else { return nil }
        return try Int64.fetchOne(
            db.cachedStatement(
                sql: """
                    SELECT version FROM _sync_lost
                    WHERE tbl = ? AND key = ? AND version > ? AND until >= ?
                    """),
            arguments: [pending.tableID, pending.key.wire, pending.base, pending.revision])
    }
}
