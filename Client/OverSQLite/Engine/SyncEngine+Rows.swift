import GRDB

/// What the app can do about rows the server refuses, and about its user.
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

    /// Removes the user's rows and all that is known of the user, so that the next one starts afresh.
    ///
    /// - Parameter force: also when rows wait that were never sent; they are lost.
    /// - Throws: `SyncError.pendingChanges` with their number, unless forced.
    public func signOut(force: Bool = false) async throws {
        await stop()
        let (catalog, outcomes, now) = (session.catalog, session.outcomes, session.now)
        try await session.lock.locked {
            try await session.write { db in
                try ChangeLog(db: db, catalog: catalog).fold()
                let pending = try PendingQueue(db: db).counts().pending
                guard force || pending == 0 else { throw SyncError.pendingChanges(pending) }
                try outcomes.settle(db, catalog, .all, now: now)
                outcomes.discardAll(with: db)
                try SignOut(db: db, catalog: catalog).removeEverything()
            }
            session.forgetUser()
        }
        try await session.refreshCounts()
    }
}

/// Empties the synced tables and the books about them.
struct SignOut {
    let db: Database
    let catalog: Catalog

    func removeEverything() throws {
        try db.execute(sql: "PRAGMA defer_foreign_keys = ON")
        try ApplyMode(db: db).during {
            for table in catalog.tables { try db.execute(sql: "DELETE FROM \(table.quotedName)") }
        }
        // The deletes were noted as going on during an apply; with the books empty they mean nothing.
        for name in [
            "_sync_rows", "_sync_pending", "_sync_sent", "_sync_held", "_sync_extra",
            "_sync_unseen",
        ] {
            try db.execute(sql: "DELETE FROM \(name)")
        }
        try ChangeLog(db: db, catalog: catalog).fold()
        try db.execute(
            sql: """
                UPDATE _sync_state SET user_id = NULL, source_id = NULL, next_change_id = 1, cursor = 0,
                  window = 0, hydrated = 0, epoch = NULL, reread = NULL
                """)
        try DeviceState.ensureSource(db)
    }
}
