import GRDB

/// Takes up which tables the user may read, in one transaction: rows of closed tables go, and the
/// reading of opened ones begins.
struct AccessChange {
    let db: Database
    let catalog: DeviceCatalog
    /// Seconds since 1970.
    let now: Double

    /// The tables of the device whose rows the user does not get, by their names in lower case.
    struct OtherTables {
        /// Those that the server has.
        var closed: Set<String> = []
        /// Those that it does not have.
        var absent: Set<String> = []

        enum Standing { case readable, closed, absent }

        func standing(of table: TableSchema) -> Standing {
            if closed.contains(table.wireName) { return .closed }
            return absent.contains(table.wireName) ? .absent : .readable
        }
    }

    struct Effect {
        let report: AccessReport
        /// Edits that were lost to triggers of the app's while rows were removed.
        let lost: [LostEdit]
        /// Whether tables must be read now: opened ones, and those that lost rows.
        let begins: Bool
    }

    /// - Parameters:
    ///   - tables: what the server's answers say of the tables that the user may read.
    ///   - others: the tables of this device that are not among them.
    func apply(_ tables: TablesFingerprint, others: OtherTables) throws -> Effect {
        let synced = SyncedTables(db: db)
        var (opened, closed): ([TableSchema], [TableSchema]) = ([], [])
        for table in catalog.tables {
            let access = try synced.access(of: table.id)
            switch (access, others.standing(of: table)) {
            case (.open, .closed), (.opening, .closed), (.unserved, .closed): closed.append(table)
            case (.open, .absent), (.opening, .absent):
                try synced.setAccess(.unserved, of: table.id)
            case (.closed, .readable), (.closedSinceOldHistory, .readable), (.unserved, .readable):
                opened.append(table)
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

    /// - Parameter opened: tables to read, besides those that lost rows.
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
