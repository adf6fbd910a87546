import GRDB

/// Takes a refused edit back, so that this device and the server say the same again.
struct Discarding {
    let db: Database
    let catalog: DeviceCatalog

    /// Edits that went with the row, as rows that hung on it did; nil if the row is not refused, or
    /// no longer.
    ///
    /// What the server may have heard of all the same is taken back by a further edit, which waits
    /// in the queue.
    ///
    /// - Parameter now: seconds since 1970; a refused row that is due may be under way.
    /// - Throws: the database's refusal, as when a row of this device's own still needs the row.
    func takeBack(_ table: TableSchema, _ key: DeviceRowKey, now: Double) throws -> [LostEdit]? {
        let log = ChangeLog(db: db, catalog: catalog)
        try log.fold()
        let queue = PendingQueue(db: db)
        guard let pending = try queue.row(table, key), try queue.isRejected(table, key) else {
            return nil
        }
        let tables = try TableWriters(db)
        if try queue.isInDoubt(table, pending, now: now) {
            guard try restore(pending, in: table, tables) else { return nil }
        } else {
            try queue.remove(table, key)
            try ApplyMode(db: db).during {
                // What hangs on a row that only this device made stays, where the server has one of
                // its own.
                if try isUnknown(table, key, tables), try takeHeld(pending, in: table, tables) {
                    return
                }
                _ = try restore(pending, in: table, tables)
                _ = try takeHeld(pending, in: table, tables)
            }
        }
        try tables.announce()
        return try log.fold()
    }

    /// Writes the server's version that this database, or the app's resolver, has not taken so far.
    /// Where it still cannot be written it is tried again with the next page.
    ///
    /// - Returns: whether there was one, and it was written.
    private func takeHeld(
        _ pending: PendingRow, in table: TableSchema, _ tables: TableWriters
    ) throws -> Bool {
        let held = HeldRows(db: db)
        guard let entry = try held.entry(table, pending.key) else { return false }
        return try held.take(entry, table, local: pending.local, tables)
    }

    /// Whether the server was not known to have the row when it was edited.
    private func isUnknown(
        _ table: TableSchema, _ key: DeviceRowKey, _ tables: TableWriters
    ) throws -> Bool {
        try tables.known.find(table, key).map(\.row.isDeleted) ?? true
    }

    /// Without an image of the row as the server had it (`SyncEngine.prepareToDropColumns`) it
    /// stays as it is until the server's next version comes.
    ///
    /// - Returns: whether the row is as the server had it.
    private func restore(
        _ pending: PendingRow, in table: TableSchema, _ tables: TableWriters
    ) throws -> Bool {
        let known = try tables.known.find(table, pending.key)?.row
        if let known, !known.isDeleted {
            guard let values = RowImage.values(of: pending.image) else { return false }
            try tables.writer(table).upsert(values, local: pending.local)
        } else {
            try tables.writer(table).delete(local: pending.local)
        }
        tables.rememberChange(in: table)
        return true
    }
}
