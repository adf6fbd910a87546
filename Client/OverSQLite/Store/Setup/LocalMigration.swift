import GRDB

/// Runs an app's migration whose changes are for this device only.
struct LocalMigration {
    let db: Database

    func run<Value>(_ body: () throws -> Value) throws -> Value {
        guard try db.tableExists("_sync_applying"), try !isRunning else { return try body() }
        let tables = SyncedTables(db: db)
        let log = TouchLog(db: db)
        var result: Value?
        // A stale mark after an error would silence the app's next writes.
        try db.inSavepoint {
            // An app that has updated the library migrates before the first start of it.
            try MetadataTables.addColumns(to: db)
            let start = try log.lastSequence()
            let before = try tables.capturing()
            result = try ApplyMode(db: db).during(body)
            try log.makeLocal(after: start)
            try DeviceStateTable(db: db).keepLocalValues()
            for (id, isCapturing) in try tables.capturing()
            where !isCapturing && before[id] == true {
                if try tables.rebuilding(of: id) == .damaged { continue }
                try tables.setRebuilding(.local, of: id)
            }
            return .commit
        }
        guard let result else { throw DatabaseError(resultCode: .SQLITE_ABORT) }
        return result
    }

    /// Whether this is a part of another one.
    private var isRunning: Bool {
        get throws { try Int.fetchOne(db, sql: "SELECT 1 FROM _sync_applying LIMIT 1") != nil }
    }
}
