import GRDB

/// Discards a rejected edit, so that this device and the server agree again.
struct Discarding {
    let db: Database
    let catalog: DeviceCatalog

    /// Restores the row and returns the edits that were lost with it, such as those of its
    /// children; nil if the row is not rejected, or no longer.
    ///
    /// If the server may have received the edit anyway, another edit that undoes it is put into the
    /// queue.
    ///
    /// - Parameter now: seconds since 1970; a rejected row that is due may already be on its way.
    /// - Throws: the database's error, for example if a row of this device still refers to the row.
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
                // The row's children stay if the row was made only here and the server has a row of
                // its own with the same key.
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

    /// Writes the server's version that this database, or the app's resolver, could not take so
    /// far. If it still cannot be written, it is tried again with the next page.
    ///
    /// - Returns: whether there was such a version and it was written.
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

    /// Restores the row as the server had it. Without an image of it
    /// (`SyncEngine.prepareToDropColumns`), the row stays as it is until the server's next version
    /// arrives.
    ///
    /// - Returns: whether the row is now as the server had it.
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
