import GRDB

extension PendingQueue {
    /// What a device reports about its queue.
    struct Totals {
        /// As in ``Counts``.
        let pending: Int
        let rejected: Int
        /// The age of the oldest row, in seconds; nil if none is known.
        let oldest: Int64?
        /// Why most rejected rows are; nil if none is.
        let reason: String?
    }

    func totals() throws -> Totals {
        // Both times are SQLite's. Whatever a damaged column holds, it is a number here.
        let row = try Row.fetchOne(
            db,
            sql: """
                SELECT count(*), count(reason),
                  CAST(max(0, CAST(strftime('%s', 'now') AS INTEGER) - min(added)) AS INTEGER)
                FROM _sync_pending WHERE tbl IN (\(SyncedTables.stillThere))
                """)
        let reason = try MetadataRow.first(
            of: "_sync_pending", db,
            sql: """
                SELECT reason FROM _sync_pending WHERE reason IS NOT NULL
                GROUP BY reason ORDER BY count(*) DESC, reason LIMIT 1
                """)?.textIfAny("reason")
        return Totals(
            pending: (row?[0] ?? 0) + (try AbsentTables(db: db).count()), rejected: row?[1] ?? 0,
            oldest: row.flatMap { $0[2] as Int64? }, reason: reason)
    }
}
