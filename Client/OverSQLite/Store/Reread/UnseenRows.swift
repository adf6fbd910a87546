import GRDB

/// `_sync_unseen`, the rows that a reread of the log has not found so far, or only in an older
/// version. No other file writes it.
struct UnseenRows {
    let db: Database

    /// Starts with every row that the device knows, except those of tables that the user may not
    /// read: the log does not show them.
    func begin() throws {
        try db.execute(
            sql: """
                DELETE FROM _sync_unseen;
                INSERT INTO _sync_unseen (tbl, key) SELECT tbl, key FROM _sync_rows
                WHERE tbl NOT IN (
                  SELECT id FROM _sync_tables WHERE access IN \(TableAccess.closedSQL));
                """)
    }

    /// Starts with those rows of a table that the device knows and that are not deleted. Rows that
    /// the server has lost and that wait to be sent again are left out.
    func begin(with keys: [DeviceRowKey], of table: TableSchema) throws {
        try removeAll()
        let statement = try db.cachedStatement(
            sql: """
                INSERT INTO _sync_unseen (tbl, key)
                SELECT tbl, key FROM _sync_rows WHERE tbl = ? AND key = ?
                  AND deleted = 0 AND version > 0 AND NOT EXISTS (
                    SELECT 1 FROM _sync_lost l
                    WHERE l.tbl = _sync_rows.tbl AND l.key = _sync_rows.key)
                """)
        for key in keys { try statement.execute(arguments: [table.id, key.wire]) }
    }

    /// Records that the log contains the row in an older version than the device knows.
    func record(_ table: TableSchema, _ key: DeviceRowKey, version: Int64, isDelete: Bool) throws {
        try db.cachedStatement(
            sql: "UPDATE _sync_unseen SET seen = ?, gone = ? WHERE tbl = ? AND key = ?"
        ).execute(arguments: [version, isDelete, table.id, key.wire])
    }

    /// Records that the log contains the row.
    func remove(_ table: TableSchema, _ key: DeviceRowKey) throws {
        try db.cachedStatement(sql: "DELETE FROM _sync_unseen WHERE tbl = ? AND key = ?")
            .execute(arguments: [table.id, key.wire])
    }

    func removeAll() throws { try db.execute(sql: "DELETE FROM _sync_unseen") }

    /// The log does not show the table any more.
    func removeAll(of table: TableSchema) throws {
        try db.execute(sql: "DELETE FROM _sync_unseen WHERE tbl = ?", arguments: [table.id])
    }
}
