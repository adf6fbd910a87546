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

    /// Gives a refused change up and takes it back: the row becomes what it was before the app's edits, a row
    /// the server never had goes, a deleted one returns. Does nothing if it is no longer refused.
    ///
    /// Under the policies `serverWins` and `clientWins` no earlier state is kept; there an edited or deleted
    /// row stays as it is until the server's next version arrives.
    ///
    /// - Throws: a database error, as `SyncError`: for example when rows of this device refer to one that
    ///   would go.
    public func discard(_ row: RejectedChange) async throws {
        let (catalog, outcomes) = (session.catalog, session.outcomes)
        try await session.write { db in
            guard let table = catalog.table(wireName: row.table.lowercased()) else { return }
            let name = PageApplier.TableKey(tableID: table.id, key: RowKey(wire: row.key))
            guard try Discarding(db: db, catalog: catalog).takeBack(table, name.key) else { return }
            outcomes.note([RowOutcome(row: name, kind: .discarded)], with: db)
        }
        try await session.refreshCounts()
    }
}
