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

    /// Sends a refused change again with the next exchange, which the background loop begins at once. Does
    /// nothing if it is no longer refused.
    ///
    /// - Throws: a database error, as `SyncError`.
    public func retry(_ row: RejectedChange) async throws {
        let (catalog, now) = (session.catalog, session.now)
        try await session.write { db in
            guard let table = catalog.table(wireName: row.table.lowercased()) else { return }
            try PendingQueue(db: db).makeDue(table, RowKey(wire: row.key), at: now)
        }
        retryNow()
    }

    /// Gives a refused change up. The row on this device stays as it is until the server's next version of it
    /// arrives; a row the server never had stays here only. A later edit of the row is sent as any other.
    ///
    /// - Throws: a database error, as `SyncError`.
    public func discard(_ row: RejectedChange) async throws {
        let (catalog, outcomes) = (session.catalog, session.outcomes)
        try await session.write { db in
            guard let table = catalog.table(wireName: row.table.lowercased()) else { return }
            try ChangeLog(db: db, catalog: catalog).fold()
            let name = PageApplier.TableKey(tableID: table.id, key: RowKey(wire: row.key))
            try PendingQueue(db: db).remove(table, name.key)
            outcomes.note([RowOutcome(row: name, kind: .discarded)], with: db)
        }
        try await session.refreshCounts()
    }
}
