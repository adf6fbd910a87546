import GRDB

/// `_sync_log`, the touches of rows in the order in which they happened. No other file writes it;
/// the triggers use ``append(_:)``.
struct TouchLog {
    private static let name = "_sync_log"

    let db: Database

    /// The start of a statement that adds touches. It is part of the triggers' text: if it changes,
    /// every device creates its triggers again.
    static func append(_ columns: String) -> String { "INSERT INTO _sync_log (\(columns))" }

    // MARK: Reading

    /// The number of the last touch so far.
    func lastSequence() throws -> Int64 {
        try MetadataRow.first(
            of: Self.name, db, sql: "SELECT max(seq) AS seq FROM _sync_log"
        )?.numberIfAny("seq") ?? 0
    }

    /// Checks that the log reaches as far as it was folded: its last touch always stays. If touches
    /// started over below that number, they would never be folded, and their edits never sent.
    func check(folded: Int64) throws {
        let last = try lastSequence()
        guard folded <= last else {
            throw SyncError.damagedMetadata(
                "_sync_state.folded is \(folded), but \(Self.name) ends at \(last)")
        }
    }

    func touches(after sequence: Int64, count: Int) throws -> [Touch] {
        let statement = try db.cachedStatement(
            sql: """
                SELECT seq, tbl, key, kind, image FROM _sync_log
                WHERE seq > ? ORDER BY seq LIMIT ?
                """)
        return try MetadataRow.all(of: Self.name, statement, [sequence, count]).map {
            Touch(
                sequence: try $0.number("seq"), kind: try $0.choice("kind"),
                tableID: try $0.number("tbl"), local: try $0.value("key"),
                image: try $0.textIfAny("image"))
        }
    }

    /// The rows that were deleted under apply mode since a touch, as they spelled their keys.
    func deletedDuringApply(
        after sequence: Int64
    ) throws -> [(table: Int64, local: DatabaseValue)] {
        try MetadataRow.all(
            of: Self.name, db,
            sql: """
                SELECT DISTINCT tbl, key FROM _sync_log
                WHERE seq > ? AND kind = ? AND key IS NOT NULL
                """, [sequence, Touch.Kind.duringApply.rawValue]
        ).map { (try $0.number("tbl"), try $0.value("key")) }
    }

    /// SQL for the keys of a table whose last touch is their deletion, and is not folded yet. What
    /// the queue and the known rows say of them is older than that.
    static func deletedSQL(in table: TableSchema) -> String {
        """
        SELECT key FROM (
          SELECT key, kind, max(seq) FROM _sync_log
          WHERE tbl = \(table.id) AND key IS NOT NULL AND seq > (SELECT folded FROM _sync_state)
          GROUP BY key)
        WHERE kind = \(Touch.Kind.deleted.rawValue)
        """
    }

    // MARK: The library's own touches

    /// Adds a touch of a row.
    ///
    /// - Parameters:
    ///   - local: the key as the row spells it.
    ///   - image: the row before it, where one is known.
    func add(_ local: DatabaseValue, in table: TableSchema, image: String? = nil) throws {
        try db.cachedStatement(sql: "\(Self.append("tbl, key, image")) VALUES (?, ?, ?)")
            .execute(arguments: [table.id, local, image])
    }

    /// Touches every row about which nothing is known, so that rows older than the triggers are
    /// sent.
    func addUnknown(in table: TableSchema) throws {
        try db.execute(
            sql: """
                \(Self.append("tbl, key")) SELECT \(table.id), \(table.quotedKey)
                FROM \(table.quotedName) AS t
                WHERE t.\(table.quotedKey) IS NULL OR t.\(table.quotedKey) NOT IN (
                  SELECT \(KeyForm.spelledSQL(in: "r")) FROM _sync_rows r
                  WHERE r.tbl = \(table.id) AND r.deleted = 0)
                """)
    }

    /// Touches the rows that the server has lost, or whose newest version it has lost, according to
    /// a reread.
    ///
    /// - Returns: the number of rows. Deletions of rows unknown to the server do not count: it
    ///   lacks nothing, or has only compacted them away.
    func addUnseen(in table: TableSchema) throws -> Int {
        try db.execute(
            sql: """
                \(Self.append("tbl, key"))
                SELECT u.tbl, \(KeyForm.spelledSQL(in: "r"))
                FROM _sync_unseen u JOIN _sync_rows r USING (tbl, key)
                WHERE u.tbl = ?
                """, arguments: [table.id])
        return try Int.fetchOne(
            db,
            sql: """
                SELECT count(*) FROM _sync_unseen u JOIN _sync_rows r USING (tbl, key)
                WHERE u.tbl = ? AND (u.seen IS NOT NULL OR r.deleted = 0)
                """, arguments: [table.id]) ?? 0
    }

    /// Adds the touches of a table that were stored while it was not synced.
    func addAbsent(ofTable id: Int64) throws {
        // Newer touches that are not folded yet come before them in the log now. The first touch of
        // a row must have the image.
        try db.execute(
            sql: """
                UPDATE _sync_log SET image = a.image FROM _sync_absent a
                WHERE _sync_log.tbl = :id AND _sync_log.seq > (SELECT folded FROM _sync_state)
                  AND a.tbl = :id AND a.key IS _sync_log.key AND a.seq = (
                    SELECT min(b.seq) FROM _sync_absent b
                    WHERE b.tbl = :id AND b.key IS a.key AND b.kind IN \(Touch.Kind.editsSQL));
                \(Self.append("tbl, key, kind, image"))
                SELECT tbl, key, kind, image FROM _sync_absent WHERE tbl = :id ORDER BY seq;
                """, arguments: ["id": id])
    }

    /// Takes a number for an edit that goes into the queue without a touch.
    func takeNumber(in table: TableSchema) throws -> Int64 {
        try db.cachedStatement(sql: "\(Self.append("tbl, kind")) VALUES (?, ?)")
            .execute(arguments: [table.id, Touch.Kind.duringApply.rawValue])
        return db.lastInsertedRowID
    }

    /// Turns the deletes that were noted under apply mode since a touch into deletes on this device
    /// only.
    func makeLocal(after sequence: Int64) throws {
        try db.execute(
            sql: "UPDATE _sync_log SET kind = ? WHERE seq > ? AND kind = ?",
            arguments: [
                Touch.Kind.local.rawValue, sequence, Touch.Kind.duringApply.rawValue,
            ])
    }

    // MARK: Forgetting

    /// Removes folded touches. The last one stays, to keep its number.
    func remove(before sequence: Int64) throws {
        try db.execute(sql: "DELETE FROM _sync_log WHERE seq < ?", arguments: [sequence])
    }

    /// Removes keys and images from the touches. The numbers stay.
    func removeContents() throws {
        try db.execute(sql: "UPDATE _sync_log SET key = NULL, image = NULL")
    }
}
