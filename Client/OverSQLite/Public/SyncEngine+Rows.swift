import GRDB

/// What the app can do about changes that were refused.
extension SyncEngine {
    /// Every change that was refused, oldest first. One that was edited since is no longer refused.
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

    /// Sends a refused change again with the next exchange, which the background loop begins at
    /// once. Does nothing if it is no longer refused.
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

    /// Gives a refused change up and takes it back: the row becomes what it was before the app's
    /// edits, a row the server never had goes, a deleted one returns. If the server's row has
    /// changed meanwhile, it becomes that. Does nothing if it is no longer refused.
    ///
    /// The row as it was is not known of an edit made between `prepareToDropColumns(of:in:)` and
    /// the next engine: such a row stays as it is until the server's next version of it arrives.
    ///
    /// A change that is sent again at this moment, or whose answer was lost, may have reached the
    /// server: it is undone there with the next exchange. Rows that a foreign key takes along are
    /// reported among the `events`, with what they held.
    ///
    /// - Throws: a database error, as `SyncError`: for example when rows of this device refer to
    ///   one that would go.
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
