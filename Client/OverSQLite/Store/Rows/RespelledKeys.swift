import GRDB

/// Follows keys whose spelling has changed. A UUID in another spelling is the same row.
struct RespelledKeys {
    let db: Database

    /// The spelling under which a row is in its table; nil if it is not there.
    ///
    /// - Parameter spellings: the spellings that the device knows of the row.
    func live(_ spellings: [DatabaseValue], in table: TableSchema) throws -> DatabaseValue? {
        let statement = try db.cachedStatement(
            sql: """
                SELECT \(table.quotedKey) FROM \(table.quotedName) WHERE \(table.quotedKey) IS ?
                """)
        for spelling in spellings {
            if let found = try DatabaseValue.fetchOne(statement, arguments: [spelling]) {
                return found
            }
        }
        return nil
    }

    /// Common spellings of a UUID: as on the wire, as Swift's `uuidString`, and without dashes.
    static func common(_ key: DeviceRowKey) -> [DatabaseValue] {
        let dashed = [key.wire, key.wire.uppercased()]
        return (dashed + dashed.map { $0.replacing("-", with: "") }).map(\.databaseValue)
    }

    /// Follows rows whose keys were respelled while the triggers could not see it, for example by a
    /// migration that rebuilds the table: what is known about a row stays known.
    ///
    /// Also brings rows back that older versions of this library took for deleted when their keys
    /// were respelled: the row is here, and its deletion was sent.
    func adopt(in table: TableSchema) throws {
        guard table.keyForm == .uuidText else { return }
        let unknown = try DatabaseValue.fetchAll(
            db,
            sql: """
                SELECT t.\(table.quotedKey) FROM \(table.quotedName) AS t
                WHERE t.\(table.quotedKey) COLLATE BINARY NOT IN (
                  SELECT \(KeyForm.spelledSQL(in: "r")) FROM _sync_rows r
                  WHERE r.tbl = \(table.id) AND r.deleted = 0)
                """)
        let known = try KnownRows(db: db)
        let queue = PendingQueue(db: db)
        for local in unknown {
            guard let key = table.keyForm.key(fromLocal: local) else { continue }
            let pending = try queue.row(table, key)
            if let entry = try known.find(table, key) {
                let old = table.keyForm.spelled(entry.spelling, for: key)
                if try !entry.row.isDeleted && isGone(old, in: table) {
                    try known.record(table, key, entry.row, local: local, term: entry.term)
                } else if entry.row.isDeleted, pending == nil {
                    try TouchLog(db: db).add(local, in: table)
                }
            }
            if let pending, try isGone(pending.local, in: table) {
                try queue.respell(table, key, local: local)
            }
        }
    }

    private func isGone(_ spelling: DatabaseValue, in table: TableSchema) throws -> Bool {
        let found = try DatabaseValue.fetchOne(
            db,
            sql: """
                SELECT 1 FROM \(table.quotedName)
                WHERE \(table.quotedKey) IS ? AND \(table.quotedKey) COLLATE BINARY IS ?
                """, arguments: [spelling, spelling])
        return found == nil
    }
}
