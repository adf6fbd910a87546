import GRDB

/// Server rows that this database refused: a missing parent, a constraint of its own, a value no
/// column takes. They are kept, shown and tried again with every page, and hold up nobody.
struct HeldRows {
    /// Rows tried again in one transaction.
    static let retriesPerPage = 500

    let db: Database

    struct Entry {
        let tableID: Int64
        let key: DeviceRowKey
        let row: RemoteRow

        fileprivate init(_ row: Row) {
            tableID = row["tbl"]
            key = DeviceRowKey(wire: row["key"])
            self.row = RemoteRow(
                version: row["version"],
                payload: (row["payload"] as String?).map { Array($0.utf8) },
                sourceID: nil, changeID: nil)
        }
    }

    func hold(
        _ table: TableSchema, _ key: DeviceRowKey, version: Int64, payload: [UInt8]?, reason: String
    ) throws {
        try db.cachedStatement(
            sql: """
                INSERT INTO _sync_held (tbl, key, version, payload, reason) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT (tbl, key) DO UPDATE
                SET version = excluded.version, payload = excluded.payload, reason = excluded.reason
                """
        ).execute(arguments: [
            table.id, key.wire, version, payload.map { String(decoding: $0, as: UTF8.self) },
            reason,
        ])
    }

    func release(_ table: TableSchema, _ key: DeviceRowKey) throws {
        try db.cachedStatement(sql: "DELETE FROM _sync_held WHERE tbl = ? AND key = ?")
            .execute(arguments: [table.id, key.wire])
    }

    /// Writes the row, unless a version as new is here, and keeps it no longer.
    ///
    /// - Parameter local: the key as the row spells it; nil if the row is not here.
    /// - Returns: false if this database still refuses it.
    func take(
        _ entry: Entry, _ table: TableSchema, local: DatabaseValue?, _ tables: TableWriters
    ) throws -> Bool {
        let known = try tables.known.find(table, entry.key)
        do {
            try db.inSavepoint {
                if known.map({ $0.row.version < entry.row.version }) ?? true {
                    try tables.write(entry.row, table, entry.key, local: local)
                }
                try release(table, entry.key)
                return .commit
            }
            return true
        } catch is RowFlaw {
            return false
        } catch let error as DatabaseError
            where error.isOfTheRow
        {
            return false
        }
    }

    func count() throws -> Int { try Int.fetchOne(db, sql: "SELECT count(*) FROM _sync_held") ?? 0 }

    func removeAll() throws { try db.execute(sql: "DELETE FROM _sync_held") }

    /// Some to try again. Of more than one transaction tries it takes others each time, so that
    /// rows which can be written now are not behind those that never can.
    func next() throws -> [Entry] {
        try Row.fetchAll(
            db,
            sql: """
                SELECT tbl, key, version, payload FROM _sync_held WHERE (tbl, key) IN (
                    SELECT tbl, key FROM _sync_held ORDER BY random() LIMIT ?)
                ORDER BY tbl, key
                """,
            arguments: [Self.retriesPerPage]
        ).map(Entry.init)
    }

    func entry(_ table: TableSchema, _ key: DeviceRowKey) throws -> Entry? {
        let statement = try db.cachedStatement(
            sql: "SELECT tbl, key, version, payload FROM _sync_held WHERE tbl = ? AND key = ?")
        return try Row.fetchOne(statement, arguments: [table.id, key.wire]).map(Entry.init)
    }
}
