import GRDB

/// Takes a refused edit back, so that this device and the server say the same again.
struct Discarding {
    let db: Database
    let catalog: Catalog

    /// - Returns: false if the row is not refused, or no longer.
    /// - Throws: the database's refusal, as when a row of this device's own still needs the row.
    func takeBack(_ table: TableSchema, _ key: RowKey) throws -> Bool {
        try ChangeLog(db: db, catalog: catalog).fold()
        let queue = PendingQueue(db: db)
        guard let pending = try queue.row(table, key), try queue.isRefused(table, key) else {
            return false
        }
        let tables = try TableWriters(db)
        try queue.remove(table, key)
        try ApplyMode(db: db).during { try restore(pending, in: table, tables) }
        try tables.announce()
        return true
    }

    /// Without an image of the row as the server had it (`ConflictPolicy.needsBaseImage`) it stays as it is
    /// until the server's next version comes.
    private func restore(
        _ pending: PendingRow, in table: TableSchema, _ tables: TableWriters
    ) throws {
        let known = try tables.known.find(table, pending.key)?.row
        if let known, !known.isDeleted {
            guard let values = RowImage.values(of: pending.image) else { return }
            try tables.writer(table).upsert(values, local: pending.local)
        } else {
            try tables.writer(table).delete(local: pending.local)
        }
        tables.noteChange(in: table)
    }
}
