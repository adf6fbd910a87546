import GRDB

/// The view `sync_row_status`: the sync state of each row, for the app to join to its tables.
///
/// ```sql
/// SELECT post.*, s.state, s.reason FROM post
/// JOIN sync_row_status s ON s.table_name = 'post' AND s.key = post.id
/// ```
/// | column | |
/// |---|---|
/// | `table_name` | the table's name in lower case |
/// | `key` | the key as the row spells it |
/// | `state` | `pending` (also until a delete is confirmed), `synced`, `rejected` or `held` |
/// | `reason`, `message` | why it was rejected, as in `RejectedChange`, or held; else NULL |
/// | `retry_at` | when the engine sends it again, in seconds since 1970; else NULL |
enum RowStatusView {
    /// Created again at every installation; it stores nothing.
    ///
    /// - Throws: `SyncError.unusableTable` if the app has a table or view of this name.
    static func create(in db: Database) throws {
        let found = try String.fetchOne(
            db, sql: "SELECT sql FROM sqlite_master WHERE lower(name) = '\(name)'")
        // Every version of the view reads the queue, whose name only the library uses.
        guard found?.contains("_sync_pending") != false else {
            throw SyncError.unusableTable(
                name, "the library makes a view of this name: rename the app's table or view")
        }
        try db.execute(sql: "DROP VIEW IF EXISTS \(name); \(view)")
    }

    private static let name = "sync_row_status"

    /// `key` is the key as the row spells it, so that the app can join the view to its tables. A
    /// touched row shows as pending at once, even before its touch is folded and even if it was
    /// rejected before.
    ///
    /// Each set is searched through an index; if there is none, SQLite builds one for the query. So
    /// the time grows with the number of rows, not with rows times touches.
    private static let view = """
        CREATE VIEW sync_row_status (table_name, key, state, reason, message, retry_at) AS
          WITH touched (tbl, key) AS (
            SELECT l.tbl, l.key FROM _sync_state s JOIN _sync_log l ON l.seq > s.folded
            WHERE l.kind IN \(Touch.Kind.editsSQL) AND l.key IS NOT NULL
            UNION
            SELECT a.tbl, a.key FROM _sync_absent a
            WHERE a.kind IN \(Touch.Kind.editsSQL) AND a.key IS NOT NULL)
          SELECT t.name, coalesce(p.local, p.key), iif(p.is_rejected, 'rejected', 'pending'),
            iif(p.is_rejected, p.reason, NULL), iif(p.is_rejected, p.message, NULL),
            iif(p.is_rejected, p.retry_at, NULL)
          FROM (
            SELECT *, reason IS NOT NULL
              AND (q.tbl, coalesce(q.local, q.key)) NOT IN (SELECT tbl, key FROM touched) AS is_rejected
            FROM _sync_pending q) p JOIN _sync_tables t ON t.id = p.tbl
          UNION ALL
          SELECT t.name, coalesce(r.local, r.key), iif(h.key IS NULL, 'synced', 'held'), h.cause,
            h.reason, NULL
          FROM _sync_rows r JOIN _sync_tables t ON t.id = r.tbl
            LEFT JOIN _sync_held h ON h.tbl = r.tbl AND h.key = r.key
          WHERE r.deleted = 0
            AND NOT EXISTS (SELECT 1 FROM _sync_pending p WHERE p.tbl = r.tbl AND p.key = r.key)
            AND (r.tbl, coalesce(r.local, r.key)) NOT IN (SELECT tbl, key FROM touched)
          UNION ALL
          SELECT t.name, l.key, 'pending', NULL, NULL, NULL
          FROM touched l JOIN _sync_tables t ON t.id = l.tbl
          WHERE NOT EXISTS (
              SELECT 1 FROM _sync_pending p WHERE p.tbl = l.tbl AND p.key = l.key AND p.local IS NULL)
            AND (l.tbl, l.key) NOT IN (
              SELECT p.tbl, p.local FROM _sync_pending p WHERE p.local IS NOT NULL);
        """
}
