import GRDB

/// The numbers that the server has leased to this device for new rows: `_sync_key_leases` and
/// `_sync_key_ranges`. No other file writes them.
struct KeyRanges {
    private static let leases = "_sync_key_leases"
    private static let ranges = "_sync_key_ranges"

    let db: Database

    /// A number counts only for the device and the history that it was leased in.
    private static let isMine = """
        EXISTS (SELECT 1 FROM _sync_state s WHERE s.source_id = r.source_id AND s.epoch = r.epoch)
        """

    /// Records that a table leases numbers.
    func add(table: Int64) throws {
        try db.execute(
            sql: "INSERT OR IGNORE INTO _sync_key_leases (tbl, size, leased_at) VALUES (?, 0, 0)",
            arguments: [table])
    }

    /// Takes the next number, in the caller's transaction.
    ///
    /// - Parameter name: the table's name, in any case.
    /// - Throws: `SyncKeyError`; `SyncError.damagedMetadata`; a database error.
    func take(of name: String) throws -> Int64 {
        guard try db.tableExists(Self.leases),
            let table = try SyncedTables(db: db).entry(named: name)?.id,
            try MetadataRow.first(
                of: Self.leases, db, sql: "SELECT tbl FROM _sync_key_leases WHERE tbl = ?", [table])
                != nil
        else { throw SyncKeyError.notLeased(table: name) }
        guard
            let row = try MetadataRow.first(
                of: Self.ranges, db,
                sql: """
                    SELECT id, next, step, remaining FROM _sync_key_ranges r
                    WHERE tbl = ? AND \(Self.isMine) ORDER BY id LIMIT 1
                    """, [table])
        else { throw SyncKeyError.noneLeft(table: name) }
        let id = try row.number("id")
        let number = try row.number("next", in: .min ... .max)
        // The one after the last may be none: SQLite would make a REAL of it.
        if try row.number("remaining") <= 1 {
            try db.execute(sql: "DELETE FROM _sync_key_ranges WHERE id = ?", arguments: [id])
        } else {
            try db.execute(
                sql: """
                    UPDATE _sync_key_ranges SET next = next + step, remaining = remaining - 1
                    WHERE id = ?
                    """, arguments: [id])
        }
        return number
    }

    /// How the tables that lease numbers stand.
    func standings() throws -> [KeyStanding] {
        try MetadataRow.all(
            of: Self.leases, db,
            sql: """
                SELECT l.tbl, l.size, l.leased_at, coalesce((
                    SELECT sum(r.remaining) FROM _sync_key_ranges r
                    WHERE r.tbl = l.tbl AND \(Self.isMine)), 0) AS remaining
                FROM _sync_key_leases l ORDER BY l.tbl
                """
        ).map { row in
            KeyStanding(
                table: try row.number("tbl"), size: try row.number("size"),
                leasedAt: try row.time("leased_at"), left: try row.number("remaining"))
        }
    }

    /// Stores what the server has leased, and removes numbers of another device or history.
    func store(
        _ leased: [LeasedRange], of table: Int64, size: Int64, at now: Double,
        device: String, epoch: String
    ) throws {
        try db.execute(sql: "DELETE FROM _sync_key_ranges AS r WHERE NOT \(Self.isMine)")
        try db.execute(
            sql: "UPDATE _sync_key_leases SET size = ?, leased_at = ? WHERE tbl = ?",
            arguments: [size, now, table])
        for range in leased {
            try db.execute(
                sql: """
                    INSERT INTO _sync_key_ranges (tbl, next, step, remaining, source_id, epoch)
                    VALUES (?, ?, ?, ?, ?, ?)
                    """,
                arguments: [table, range.first, range.step, range.count, device, epoch])
        }
    }

    /// Gives up all numbers: they may be others' now. The next sync leases new ones.
    func forget() throws { try db.execute(sql: "DELETE FROM _sync_key_ranges") }
}
