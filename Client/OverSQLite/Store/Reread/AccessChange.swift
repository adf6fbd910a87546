import GRDB

/// Takes up which tables the user may read, in one transaction: rows of closed tables go, and the
/// reading of opened ones begins.
struct AccessChange {
    let db: Database
    let catalog: DeviceCatalog
    /// Seconds since 1970.
    let now: Double

    struct Effect {
        let report: AccessReport
        /// Edits that were lost to triggers of the app's while rows were removed.
        let lost: [LostEdit]
        /// Whether tables are to be read now: opened ones, and those of which rows went, too.
        let begins: Bool
    }

    /// - Parameters:
    ///   - tables: what the server's answers say of the tables that the user may read.
    ///   - isReadable: whether a table is among them.
    func apply(
        _ tables: TablesFingerprint, isReadable: (TableSchema) -> Bool
    ) throws -> Effect {
        let synced = SyncedTables(db: db)
        var (opened, closed): ([TableSchema], [TableSchema]) = ([], [])
        for table in catalog.tables {
            switch (try synced.access(of: table.id), isReadable(table)) {
            case (.open, false), (.opening, false): closed.append(table)
            case (.closed, true), (.closedSinceOldHistory, true): opened.append(table)
            default: break
            }
        }
        let log = ChangeLog(db: db, catalog: catalog)
        try log.fold()
        let isNewHistory = try DeviceStateTable(db: db).read().reread == .newHistory
        for table in closed {
            try synced.setAccess(isNewHistory ? .closedSinceOldHistory : .closed, of: table.id)
            try HeldRows(db: db).removeAll(of: table)
            try UnseenRows(db: db).removeAll(of: table)
        }
        try OpenedTables(db: db).endIfNone()
        let (removed, lost, begins) = try removeRows(beside: opened)
        try DeviceStateTable(db: db).setTables(tables)
        let report = AccessReport(
            opened: opened.map(\.name), closed: closed.map(\.name), removedRows: removed)
        return Effect(report: report, lost: lost, begins: begins)
    }

    /// Removes rows of closed tables that could not go before: a row that referred to them had
    /// edits.
    func removeRest() throws -> Effect {
        try ChangeLog(db: db, catalog: catalog).fold()
        let (removed, lost, begins) = try removeRows(beside: [])
        return Effect(
            report: AccessReport(opened: [], closed: [], removedRows: removed), lost: lost,
            begins: begins)
    }

    /// - Parameter opened: tables to read, beside those of which rows went.
    private func removeRows(
        beside opened: [TableSchema]
    ) throws -> (removed: Int, lost: [LostEdit], begins: Bool) {
        try db.execute(sql: "PRAGMA defer_foreign_keys = ON")
        let writers = try TableWriters(db)
        var result = ClosedTables.Removal()
        try ApplyMode(db: db).during {
            result = try ClosedTables(db: db, catalog: catalog).removeRows(writers)
            try writers.announce()
        }
        let lost = try ChangeLog(db: db, catalog: catalog).fold()
        let bereft = result.bereft.filter { table in !opened.contains { $0.id == table.id } }
        try OpenedTables(db: db).begin(opened + bereft, now: now)
        return (result.removed, lost, !(opened + bereft).isEmpty)
    }
}
