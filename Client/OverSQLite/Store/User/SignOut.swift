import GRDB

/// Empties the synced tables and their metadata.
struct SignOut {
    let db: Database
    let catalog: DeviceCatalog

    func removeEverything() throws {
        try db.execute(sql: "PRAGMA defer_foreign_keys = ON")
        try ApplyMode(db: db).during {
            for table in catalog.tables { try db.execute(sql: "DELETE FROM \(table.quotedName)") }
            for name in try formerTables() {
                try db.execute(sql: "DELETE FROM \(name.quotedIdentifier)")
            }
        }
        // The deletes were captured as part of an apply. Without metadata they mean nothing.
        try KnownRows(db: db).forgetAll()
        try PendingQueue(db: db).removeAll()
        try HeldRows(db: db).removeAll()
        try SetAsideColumns(db: db).removeAll()
        try UnseenRows(db: db).removeAll()
        try ConflictBook(db: db).removeAll()
        try ChangeLog(db: db, catalog: catalog).fold()
        // The fold has stored the touches of former tables there.
        try AbsentTables(db: db).removeAll()
        try TouchLog(db: db).removeContents()
        try DeviceStateTable(db: db).reset()
        try SyncedTables(db: db).forgetOldHistory()
    }

    /// Tables that were synced before and still exist, perhaps under another name, which their
    /// triggers have followed. They also hold the user's rows.
    private func formerTables() throws -> [String] {
        let present = Set(catalog.tables.map(\.wireName))
        return try String.fetchAll(
            db,
            sql: """
                SELECT name FROM sqlite_master m WHERE type = 'table' AND (
                  lower(name) IN (SELECT name FROM _sync_tables) OR EXISTS (
                    SELECT 1 FROM sqlite_master t WHERE t.type = 'trigger' AND t.tbl_name = m.name
                      AND t.name GLOB '_sync_[0-9]*_*'))
                """
        ).filter { !present.contains($0.lowercased()) }
    }
}
