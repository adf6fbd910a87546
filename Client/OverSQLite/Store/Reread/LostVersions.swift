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
    ///
    /// A row that the app has edited is marked (`until` -1), unless only an earlier reread has
    /// put it into the queue.
    func addUnseen(in table: TableSchema) throws {
        try db.execute(
            sql: """
                INSERT INTO _sync_lost (tbl, key, version, until)
                SELECT u.tbl, u.key, r.version, CASE WHEN EXISTS (
                    SELECT 1 FROM _sync_pending p LEFT JOIN _sync_lost l USING (tbl, key)
                    WHERE p.tbl = u.tbl AND p.key = u.key AND coalesce(l.until, -1) < p.revision)
                  THEN -1 ELSE 0 END
                FROM _sync_unseen u JOIN _sync_rows r USING (tbl, key)
                WHERE u.tbl = ? AND (r.version > coalesce(u.seen, 0) OR EXISTS (
                  SELECT 1 FROM _sync_lost l WHERE l.tbl = u.tbl AND l.key = u.key))
                ON CONFLICT (tbl, key) DO UPDATE
                SET version = max(version, excluded.version), until = excluded.until
                """, arguments: [table.id])
    }

    /// Records which touch is the last one that the reread has made.
    func finish(until sequence: Int64) throws {
        try db.execute(
            sql: "UPDATE _sync_lost SET until = ? WHERE until = 0", arguments: [sequence])
    }

    /// Forgets a row that is not sent any more: the server has it, or something newer.
    func remove(_ table: TableSchema, _ key: DeviceRowKey) throws {
        try db.cachedStatement(sql: "DELETE FROM _sync_lost WHERE tbl = ? AND key = ?")
            .execute(arguments: [table.id, key.wire])
    }

    func removeAll() throws { try db.execute(sql: "DELETE FROM _sync_lost") }

    var isEmpty: Bool {
        get throws { try Int.fetchOne(db, sql: "SELECT 1 FROM _sync_lost LIMIT 1") == nil }
    }

    /// The version that a row must have at least when it is sent, because the server has lost it;
    /// nil if it has a version as new as that.
    ///
    /// An edit of the app's goes beyond the lost version. If the server loses the edit, too, a
    /// device that knows only what it was made on has an older row, and not another one of the same
    /// version.
    func version(of pending: PendingRow) throws -> Int64? {
        try find(pending).map { $0.version + (pending.revision > $0.until ? 1 : 0) }
    }

    /// What a row of the server is for one that is sent again; nil if the row here is not.
    func meeting(_ pending: PendingRow, _ server: RemoteRow) throws -> Meeting? {
        guard let (version, until) = try find(pending) else { return nil }
        if server.version < version { return .older }
        return pending.revision <= until ? .newer : nil
    }

    enum Meeting: Hashable {
        /// It is older than what was lost, which is part of the row here.
        case older
        /// It is as new as what was lost, or newer, and the app has not edited the row here.
        case newer
    }

    private func find(_ pending: PendingRow) throws -> (version: Int64, until: Int64)? {
        try MetadataRow.first(
            of: "_sync_lost", db,
            sql: """
                SELECT version, until FROM _sync_lost
                WHERE tbl = ? AND key = ? AND version > ?
                """,
            [pending.tableID, pending.key.wire, pending.base]
        ).map {
            let until = -1...ProtocolNumber.maximum
            return (try $0.number("version"), try $0.number("until", in: until))
        }
    }
}
