import GRDB

/// The view `sync_row_status`: what became of each row, for the app to join to its tables.
///
/// ```sql
/// SELECT post.*, s.state, s.reason FROM post
/// JOIN sync_row_status s ON s.table_name = 'post' AND s.key = post.id
/// ```
/// | column | |
/// |---|---|
/// | `table_name` | the table's name in lower case |
/// | `key` | the key as the row spells it |
/// | `state` | `pending`, `synced` or `rejected`; a row deleted here is `pending` until the server knows |
/// | `reason`, `message` | why it was rejected, as in `RejectedChange`; else NULL |
/// | `retry_at` | when it is sent again by itself, in seconds since 1970; else NULL |
enum RowStatusView {
    /// Made anew at every installation: it holds nothing.
    ///
    /// - Throws: `SyncError.unusableTable` if the app has something of its own under the view's
    ///   name.
    static func create(in db: Database) throws {
        let found = try String.fetchOne(
            db, sql: "SELECT sql FROM sqlite_master WHERE lower(name) = '\(name)'")
        // Every version of the view reads the queue, whose name is the library's.
        guard found?.contains("_sync_pending") != false else {
            throw SyncError.unusableTable(name, "the library keeps a view of this name")
        }
        try db.execute(sql: "DROP VIEW IF EXISTS \(name); \(view)")
    }

    private static let name = "sync_row_status"

    /// `key` is the key as the row spells it, so that the app can join the view to its tables. A
    /// touched row is in it as pending at once, also before its touch is folded, and also if it was
    /// rejected before.
    ///
    /// Each set is looked into through an index, which SQLite makes for a query where there is
    /// none: the time grows with the rows, and not with rows times touches.
    private static let view = """
        CREATE VIEW sync_row_status (table_name, key, state, reason, message, retry_at) AS
          WITH touched (tbl, key) AS (
            SELECT l.tbl, l.key FROM _sync_state s JOIN _sync_log l ON l.seq > s.folded
            WHERE l.kind = 0 AND l.key IS NOT NULL
            UNION
            SELECT a.tbl, a.key FROM _sync_absent a WHERE a.kind = 0 AND a.key IS NOT NULL)
          SELECT t.name, coalesce(p.local, p.key), iif(p.is_rejected, 'rejected', 'pending'),
            iif(p.is_rejected, p.reason, NULL), iif(p.is_rejected, p.message, NULL),
            iif(p.is_rejected, p.retry_at, NULL)
          FROM (
            SELECT *, reason IS NOT NULL
              AND (q.tbl, coalesce(q.local, q.key)) NOT IN (SELECT tbl, key FROM touched) AS is_rejected
            FROM _sync_pending q) p JOIN _sync_tables t ON t.id = p.tbl
          UNION ALL
          SELECT t.name, coalesce(r.local, r.key), 'synced', NULL, NULL, NULL
          FROM _sync_rows r JOIN _sync_tables t ON t.id = r.tbl
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
