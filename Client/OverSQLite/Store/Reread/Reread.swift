import GRDB

/// A reread of the log with the existing rows in place: no table is emptied, the app keeps working,
/// and its edits stay. `_sync_unseen` holds the rows that the reread has not found yet.
///
/// After `historyPruned`, a row that is not found was deleted on the server. After `newHistory`,
/// the server has lost the row or its newest version although it had confirmed it; the row is sent
/// again (promise P7). So it is with single rows that differ from the server's (promise P8): they
/// alone are read again, and the policy decides where another device has edited one meanwhile.
struct Reread {
    let db: Database
    let catalog: DeviceCatalog
    /// Nil where not the log but single rows are read.
    let reason: RereadReason?

    init(db: Database, catalog: DeviceCatalog, reason: RereadReason) {
        self.init(db, catalog, reason)
    }

    private init(_ db: Database, _ catalog: DeviceCatalog, _ reason: RereadReason?) {
        (self.db, self.catalog, self.reason) = (db, catalog, reason)
    }

    /// A reading of the rows that ``UnseenRows/begin(with:of:)`` began with.
    static func ofRows(_ db: Database, _ catalog: DeviceCatalog) -> Reread {
        Reread(db, catalog, nil)
    }

    /// What to do with a change of the log.
    enum Meeting: Hashable {
        /// The same as without a reread.
        case usual
        /// Compare the contents: both histories have this version.
        case compare
    }

    /// The current reread; nil if there is none.
    static func current(_ db: Database, _ catalog: DeviceCatalog, _ state: DeviceState) -> Reread? {
        state.reread.map { Reread(db: db, catalog: catalog, reason: $0) }
    }

    /// Starts at the beginning of the log. A second start replaces the first, but keeps
    /// `newHistory` as the reason.
    ///
    /// - Parameter epoch: the server's epoch; nil keeps the known one.
    func begin(epoch: String?) throws {
        guard let reason else { return }
        try UnseenRows(db: db).begin()
        if reason == .newHistory {
            try HeldRows(db: db).removeAll()
            try SyncedTables(db: db).recordNewHistory()
        } else {
            try HeldRows(db: db).removeDownloaded()
        }
        try DeviceStateTable(db: db).beginReread(reason, epoch: epoch)
    }

    /// Whether rows that are not found are sent again. Otherwise they were deleted on the server.
    private var sendsAgain: Bool { reason == .newHistory || reason == nil }

    /// Records that the log contains a row in some version.
    func meet(
        _ change: RemoteChange, _ table: TableSchema, _ key: DeviceRowKey, known: KnownRow?
    ) throws -> Meeting {
        guard let known else { return .usual }
        let unseen = UnseenRows(db: db)
        // A deletion that this device has not heard of in the same version deletes nothing here.
        let isOlder =
            change.version < known.version
            || reason == nil && change.isDelete && !known.isDeleted
                && change.version == known.version
        if sendsAgain, isOlder {
            try unseen.record(table, key, version: change.version, isDelete: change.isDelete)
            return .usual
        }
        try unseen.remove(table, key)
        return sendsAgain && change.version == known.version ? .compare : .usual
    }

    /// Processes the rows that were not found. Runs under apply mode, in the transaction of the
    /// last page.
    ///
    /// - Returns: nil where not the log was read.
    func finish(_ tables: TableWriters) throws -> RereadReport? {
        let resent = sendsAgain ? try resend(tables) : 0
        let removed = sendsAgain ? 0 : try remove(tables)
        try UnseenRows(db: db).removeAll()
        guard let reason else { return nil }
        try DeviceStateTable(db: db).endReread()
        return RereadReport(reason: reason, resentRows: resent, removedRows: removed)
    }

    /// Sets the rows to what the server has of them and touches them as if the app had edited them.
    /// Parents come first, in the order in which they must be sent.
    ///
    /// Only of a server with a new history it is known that it lost them: where this device's books
    /// alone say so, they are not enough to go over what other devices wrote since.
    private func resend(_ tables: TableWriters) throws -> Int {
        let lost = LostVersions(db: db)
        var resent = 0
        for table in ranked {
            if reason == .newHistory { try lost.addUnseen(in: table) }
            resent += try TouchLog(db: db).addUnseen(in: table)
            try PendingQueue(db: db).rebaseUnseen(in: table)
            try tables.known.takeSeenVersions(in: table)
        }
        try lost.finish(until: TouchLog(db: db).lastSequence())
        return resent
    }

    /// Deletes the rows, children first. Rows with pending edits stay: when they are sent, they
    /// conflict with the server's delete. A row that other rows here still refer to is created on
    /// the server again.
    private func remove(_ tables: TableWriters) throws -> Int {
        var removed = 0
        for table in ranked.reversed() {
            let rows = try MetadataRow.all(
                of: "_sync_rows", db,
                sql: """
                    SELECT r.key, r.local, r.deleted FROM _sync_unseen u JOIN _sync_rows r USING (tbl, key)
                    WHERE u.tbl = ? AND NOT EXISTS (
                      SELECT 1 FROM _sync_pending p WHERE p.tbl = u.tbl AND p.key = u.key)
                    """, [table.id])
            for row in rows where !(try row.flag("deleted")) {
                let key = DeviceRowKey(wire: try row.text("key"))
                let local = table.keyForm.spelled(try row.value("local"), for: key)
                // Forgotten first, so that the delete trigger's touch does not count as the app's.
                try tables.known.forget(table, key)
                if try delete(local, table, tables) { removed += 1 }
            }
            try tables.known.forgetUnseenEdited(in: table)
        }
        return removed
    }

    private func delete(
        _ local: DatabaseValue, _ table: TableSchema, _ tables: TableWriters
    ) throws -> Bool {
        let wasOpen = db.hasOpenForeignKeys
        var isGone = false
        do {
            try db.inSavepoint {
                try tables.writer(table).delete(local: local)
                // Foreign keys are deferred while pages are applied, so a remaining child shows
                // only here.
                isGone = wasOpen || !db.hasOpenForeignKeys
                return isGone ? .commit : .rollback
            }
        } catch let error as DatabaseError
            where error.isOfTheRow
        {
            isGone = false
        }
        if isGone {
            tables.rememberChange(in: table)
        } else {
            try TouchLog(db: db).add(local, in: table)
        }
        return isGone
    }

    /// The tables, parents before children.
    private var ranked: [TableSchema] {
        catalog.tables.sorted { catalog.rank(ofTable: $0.id) < catalog.rank(ofTable: $1.id) }
    }
}
