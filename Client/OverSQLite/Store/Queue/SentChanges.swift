import GRDB

/// `_sync_sent`, the changes that were sent and whose answers have not been processed. No other
/// file writes it.
struct SentChanges {
    let db: Database

    /// The sent changes of a row, in the order in which they were first sent.
    func records(_ table: TableSchema, _ key: DeviceRowKey) throws -> [SentRecord] {
        let statement = try db.cachedStatement(
            sql: """
                SELECT change_id, revision, base, op FROM _sync_sent WHERE tbl = ? AND key = ?
                ORDER BY change_id
                """)
        return try MetadataRow.all(of: "_sync_sent", statement, [table.id, key.wire]).map {
            SentRecord(
                changeID: try $0.number("change_id"), revision: try $0.number("revision"),
                base: try $0.number("base"), operation: try $0.word("op"))
        }
    }

    func add(_ table: TableSchema, _ key: DeviceRowKey, _ record: SentRecord) throws {
        try db.cachedStatement(
            sql: """
                INSERT INTO _sync_sent (tbl, key, change_id, revision, base, op)
                VALUES (?, ?, ?, ?, ?, ?)
                """
        ).execute(arguments: [
            table.id, key.wire, record.changeID, record.revision, record.base, record.operation,
        ])
    }

    func remove(_ table: TableSchema, _ key: DeviceRowKey) throws {
        try db.cachedStatement(sql: "DELETE FROM _sync_sent WHERE tbl = ? AND key = ?")
            .execute(arguments: [table.id, key.wire])
    }

    /// Removes one change that the server has rejected and therefore does not have.
    func remove(_ table: TableSchema, _ key: DeviceRowKey, _ changeID: Int64) throws {
        try db.cachedStatement(
            sql: "DELETE FROM _sync_sent WHERE tbl = ? AND key = ? AND change_id = ?"
        ).execute(arguments: [table.id, key.wire, changeID])
    }

    /// Removes the changes of rows that are no longer pending.
    func removeOrphans() throws {
        try db.execute(
            sql: """
                DELETE FROM _sync_sent
                WHERE (tbl, key) NOT IN (SELECT tbl, key FROM _sync_pending)
                """)
    }

    func removeAll() throws { try db.execute(sql: "DELETE FROM _sync_sent") }
}
