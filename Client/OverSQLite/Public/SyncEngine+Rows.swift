import GRDB

/// What the app can do about rejected changes.
extension SyncEngine {
    /// Every rejected change, oldest first. A change is no longer rejected once the app edits the
    /// row again.
    ///
    /// - Throws: a database error, as `SyncError`.
    public var rejectedChanges: [RejectedChange] {
        get async throws {
            let catalog = session.catalog
            return try await session.write { db in
                try ChangeLog(db: db, catalog: catalog).fold()
                return try PendingQueue(db: db).rejected(catalog)
            }
        }
    }

    /// Every row of the server that this device cannot show yet, by table and key: why, and what
    /// would help. ``SyncStatus/heldCount`` counts them. They are tried again with every download.
    ///
    /// - Throws: a database error, as `SyncError`.
    public var heldRows: [HeldRow] {
        get async throws {
            let catalog = session.catalog
            return try await session.read { db in try HeldRows(db: db).all(catalog) }
        }
    }

    /// Sends a rejected change again. The background loop does so at once; without one, the change
    /// goes with the next `sendChanges()` or `syncChanges()`. Does nothing if the change is no
    /// longer rejected.
    ///
    /// - Throws: a database error, as `SyncError`.
    public func retry(_ row: RejectedChange) async throws {
        let (catalog, now) = (session.catalog, session.now)
        try await session.write { db in
            guard let table = catalog.table(wireName: row.table.lowercased()) else { return }
            try PendingQueue(db: db).makeDue(
                table, DeviceRowKey(wire: row.key), at: now, isAnew: true)
        }
        retryNow()
    }

    /// Gives up a rejected change and restores the row.
    ///
    /// The row becomes what it was before the app's edits: a row that the server never had is
    /// removed, and a deleted row comes back. If a newer version of the server's row has arrived
    /// meanwhile, the row becomes that version. Does nothing if the change is no longer rejected.
    ///
    /// An edit made between `prepareToDropColumns(of:in:)` and the next engine has no copy of the
    /// row as it was before. Such a row keeps its values until the server's next version of it
    /// arrives.
    ///
    /// If the change is being sent again at this moment, or if an earlier answer was lost, the
    /// server may have it already. The next sync then undoes it there. Rows that a foreign key
    /// removes together with this row are reported in `events`, with their values.
    ///
    /// - Throws: a database error, as `SyncError`, for example if other rows on this device refer
    ///   to the row that would be removed.
    public func discard(_ row: RejectedChange) async throws {
        let (catalog, outcomes, now) = (session.catalog, session.outcomes, session.now)
        let reports = try await session.write { db -> [ConflictReport] in
            guard let table = catalog.table(wireName: row.table.lowercased()) else { return [] }
            let name = TableKey(tableID: table.id, key: DeviceRowKey(wire: row.key))
            let discarding = Discarding(db: db, catalog: catalog)
            guard let lost = try discarding.takeBack(table, name.key, now: now) else { return [] }
            outcomes.record(
                [RowOutcome(row: name, kind: .discarded)] + lost.map(RowOutcome.init(lost:)),
                with: db)
            let reports = lost.map(ConflictReport.init(lost:))
            try ConflictBook(db: db).record(reports)
            return reports
        }
        session.board.post(reports.map(SyncEvent.conflict))
        try await session.refreshCounts()
    }
}
