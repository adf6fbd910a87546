import GRDB

/// Looks at start for what the app should change about its database. Nothing of it keeps sync from
/// working.
struct DatabaseCheck {
    let db: Database
    let catalog: DeviceCatalog

    /// Takes a new device name if the database is a copy: two installations of one name would skip
    /// each other's changes as their own. The log is then read again, because changes that the
    /// original has skipped as its own may be missing here.
    ///
    /// - Returns: a notice about it; nil if the database is no copy.
    func noticeCopy() throws -> SyncNotice? {
        guard let file = try DatabaseFile(of: db) else { return nil }
        let state = DeviceStateTable(db: db)
        let before = try state.file()
        if before != file { try state.setFile(file) }
        guard let before, file.isCopy(of: before) else { return nil }
        try state.renameCopy()
        if try state.read().cursor > 0 {
            try ChangeLog(db: db, catalog: catalog).fold()
            try Reread(db: db, catalog: catalog, reason: .deviceRestored).begin(epoch: nil)
        }
        return SyncNotice(
            .copiedDatabase,
            "this database file is a copy of \(before.path), so the engine has taken a new id",
            advice:
                "get a token for the new engine.deviceID, and ship databases that no engine has "
                + "opened yet")
    }

    /// Where a connection trusts no schema (`PRAGMA trusted_schema = OFF`), SQLite may refuse the
    /// functions that the triggers call: the app could write to no synced table.
    ///
    /// - Throws: `SyncError.database`, with what to change.
    static func expectTrust(in db: Database) throws {
        guard try Int.fetchOne(db, sql: "PRAGMA trusted_schema") == 0 else { return }
        do {
            try db.inSavepoint {
                try db.execute(
                    sql: "CREATE VIEW _sync_trust AS SELECT json_object('v', quote(1)) AS v")
                _ = try String.fetchOne(db, sql: "SELECT v FROM _sync_trust")
                return .rollback
            }
        } catch {
            throw SyncError.database(
                "the connection trusts no schema, so the triggers that capture edits cannot run "
                    + "(\(error)): set PRAGMA trusted_schema = ON")
        }
    }

    /// - Parameter configuration: the configuration of the app's connection.
    func notices(_ configuration: Configuration) throws -> [SyncNotice] {
        try file(configuration) + catalog.tables.flatMap(uniqueness)
    }

    private func file(_ configuration: Configuration) throws -> [SyncNotice] {
        guard try DatabaseFile(of: db) != nil else { return [] }
        var notices: [SyncNotice] = []
        let mode = try String.fetchOne(db, sql: "PRAGMA journal_mode") ?? ""
        if mode.lowercased() != "wal" {
            notices.append(
                SyncNotice(
                    .journalMode,
                    "the database is in journal mode \(mode), so readers and sync block each other",
                    advice: "open it as a DatabasePool, or run PRAGMA journal_mode = WAL once"))
        }
        if Self.waitsForNobody(configuration.busyMode) {
            notices.append(
                SyncNotice(
                    .busyTimeout,
                    "writes fail at once while another process writes to the database",
                    advice: "if an extension or another process opens it, set GRDB's "
                        + "Configuration.busyMode to .timeout(5)"))
        }
        return notices
    }

    private static func waitsForNobody(_ mode: Database.BusyMode) -> Bool {
        switch mode {
        case .immediateError: true
        case .timeout(let seconds): seconds <= 0
        case .callback: false
        }
    }

    /// Unique values of the table that rows of other devices may have, too.
    private func uniqueness(_ table: TableSchema) throws -> [SyncNotice] {
        var notices: [SyncNotice] = []
        let numbers = try String.fetchOne(
            db,
            sql: """
                SELECT name FROM pragma_table_info(:table)
                WHERE pk = 1 AND upper(type) = 'INTEGER' AND name <> :key
                  AND (SELECT count(*) FROM pragma_table_info(:table) WHERE pk > 0) = 1
                """, arguments: ["table": table.name, "key": table.key.name])
        if let numbers {
            notices.append(
                SyncNotice(
                    .rowNumbers, of: "\(table.name).\(numbers)",
                    "each device numbers its rows itself, so rows of two devices get one number, "
                        + "and one of them is held",
                    advice: "make \(table.key.name) the primary key, and drop the column"))
        }
        let loose = try Row.fetchAll(
            db,
            sql: """
                SELECT DISTINCT x.name, x.coll
                FROM pragma_index_list(?) AS l, pragma_index_xinfo(l.name) AS x
                WHERE l."unique" AND x.key AND x.name IS NOT NULL AND upper(x.coll) <> 'BINARY'
                ORDER BY 1
                """, arguments: [table.name])
        for row in loose where row["name"] != table.key.name {
            let (name, collation): (String, String) = (row["name"], row["coll"])
            notices.append(
                SyncNotice(
                    .looseUnique, of: "\(table.name).\(name)",
                    "it is unique under the collation \(collation), so a row of another device may "
                        + "be held that the server takes",
                    advice: "let the server judge: make the same index there, or drop it here"))
        }
        return notices
    }
}
