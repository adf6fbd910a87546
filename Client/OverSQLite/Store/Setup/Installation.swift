import GRDB

/// Prepares a database for sync. Runs at every start; repeating it is safe.
struct Installation {
    let db: Database
    /// What the app should change about its migrations.
    private(set) var notices: [SyncNotice] = []

    init(db: Database) { self.db = db }

    /// Creates metadata and triggers, adopts existing rows, and returns the tables.
    ///
    /// - Throws: `SyncError.unusableTable`, `SyncError.newerMetadata`, or a database error.
    mutating func install(_ tables: [SyncTable], defaultPolicy: ConflictPolicy) throws
        -> DeviceCatalog
    {
        let format = try MetadataTables.create(in: db)
        try SyncedTables(db: db).checkComplete()
        try ApplyMode(db: db).removeStrayMark()
        try HiddenTables(db: db).refuse(tables.map(\.name))
        var schemas: [TableSchema] = []
        for table in tables {
            let id = try number(of: table.name)
            guard !schemas.contains(where: { $0.id == id }) else {
                throw SyncError.unusableTable(table.name, "it is listed twice")
            }
            var schema = try TableInspection(db: db).schema(
                of: table, id: id, defaultPolicy: defaultPolicy)
            if table.leasesKeys {
                guard schema.keyForm == .integer else {
                    throw SyncError.unusableTable(
                        table.name, "only integer keys can be leased: pass keyKind: .integer")
                }
                schema.leasesKeys = true
                try KeyRanges(db: db).add(table: id)
            }
            schemas.append(schema)
        }
        schemas = KeyReferences.resolved(schemas)
        let referrers = try Referrers(db: db).byParent()
        for index in schemas.indices {
            schemas[index].referrers = referrers[schemas[index].wireName] ?? []
        }
        notices = []
        for schema in schemas { try prepare(schema, before: format) }
        try SyncedTables(db: db).setAbsent(exceptFor: schemas)
        return DeviceCatalog(schemas)
    }

    /// The table's number. A table that is added later, or comes back, makes the device reread the
    /// log from its start, because the device skipped the table's rows.
    private func number(of name: String) throws -> Int64 {
        let tables = SyncedTables(db: db)
        if let entry = try tables.entry(named: name) {
            if entry.absence != .none { try comeBack(entry.id, entry.absence) }
            return entry.id
        }
        let id = try tables.add(name)
        try DeviceStateTable(db: db).readAgain()
        // Whether the user may read it was of no interest so far.
        try DeviceStateTable(db: db).forgetTables()
        return id
    }

    /// The device may also have missed deletes that the server no longer keeps, like a device that
    /// was away for long. If the server has a new history, rows of the table that it has lost must
    /// be sent again.
    private func comeBack(_ id: Int64, _ absence: SyncedTables.Absence) throws {
        try SyncedTables(db: db).setPresent(id)
        let reason: RereadReason = absence == .sinceOldHistory ? .newHistory : .historyPruned
        try Reread(db: db, catalog: DeviceCatalog([]), reason: reason).begin(epoch: nil)
        try DeviceStateTable(db: db).forgetTables()
        try AbsentTables(db: db).restore(table: id)
    }

    /// - Parameter format: the format of the metadata that this start has found.
    private mutating func prepare(_ table: TableSchema, before format: Int) throws {
        let wanted = CaptureTriggers(table: table).all
        let (found, hasOwn) = try triggers(of: table)
        let isCurrent =
            wanted.count == found.count && wanted.allSatisfy { found[$0.name] == $0.sql }
        if !isCurrent {
            for name in found.keys { try db.execute(sql: "DROP TRIGGER \(name.quotedIdentifier)") }
            for trigger in wanted { try db.execute(sql: trigger.sql) }
        }
        // Without its triggers, the table may have been filled, or rebuilt by a migration.
        let isNew = try !hasOwn || SyncedTables(db: db).rebuilding(of: table.id) == .damaged
        if isNew || format < MetadataTables.spelledReferences {
            try RespelledKeys(db: db).adopt(in: table)
        }
        if isNew { try meetRebuilt(table, wasMadeAnew: !hasOwn) }
        try adoptNewColumns(of: table)
    }

    /// A table without triggers is new here, or was rebuilt. After a repair, the same is done for a
    /// table whose touches may be lost. The values in it may be edits, which shows when the log is
    /// read again.
    private mutating func meetRebuilt(_ table: TableSchema, wasMadeAnew: Bool) throws {
        let tables = SyncedTables(db: db)
        let isLocal = try tables.rebuilding(of: table.id) == .local
        if wasMadeAnew { notices += try DroppedParents(db: db).notices(of: table) }
        try forgetLeftOutRows(of: table)
        if !wasMadeAnew { try KnownRows(db: db).assumeDeleted(in: table) }
        if isLocal { return try tables.setRebuilding(.none, of: table.id) }
        try TouchLog(db: db).addUnknown(in: table)
        guard try KnownRows(db: db).hasAny(of: table) else {
            return try tables.setRebuilding(.none, of: table.id)
        }
        try tables.setRebuilding(.unchecked, of: table.id)
        try DeviceStateTable(db: db).readAgain()
    }

    /// Triggers follow a renamed table: this table's triggers may be on another table, and another
    /// table's on this one.
    ///
    /// - Returns: the text of each trigger by name, and whether any of this table's triggers is on
    ///   it.
    private func triggers(of table: TableSchema) throws -> (all: [String: String], hasOwn: Bool) {
        let rows = try Row.fetchAll(
            db,
            sql: """
                SELECT name, sql, name GLOB :own AND lower(tbl_name) = lower(:table) AS is_own FROM sqlite_master
                WHERE type = 'trigger' AND (
                  name GLOB :own OR lower(tbl_name) = lower(:table) AND name GLOB '_sync_[0-9]*_*')
                """, arguments: ["own": "_sync_\(table.id)_*", "table": table.name])
        return (
            Dictionary(uniqueKeysWithValues: rows.map { ($0["name"], $0["sql"]) }),
            rows.contains { $0["is_own"] }
        )
    }

    /// Forgets rows that are missing from a rebuilt table, unless it is recorded that
    /// the app has deleted them. Nobody knows what became of them, so they are downloaded again.
    private func forgetLeftOutRows(of table: TableSchema) throws {
        let queue = PendingQueue(db: db)
        try queue.removeLeftOut(in: table)
        guard try KnownRows(db: db).forgetLeftOut(in: table) else { return }
        try queue.sent.removeOrphans()
        try DeviceStateTable(db: db).readAgain()
    }

    /// Gives a new column the values that the server sent before the column existed here.
    private func adoptNewColumns(of table: TableSchema) throws {
        let names = table.columns.map(\.wireName)
        let tables = SyncedTables(db: db)
        let before = try tables.columns(of: table.id)
        guard before != names else { return }
        if let before, !before.isEmpty {
            let new = table.columns.filter { !before.contains($0.wireName) && !$0.isKey }
            try SetAsideColumns(db: db).unpack(new, of: table)
        }
        try tables.setColumns(names, of: table.id)
    }
}
