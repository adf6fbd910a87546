import GRDB

/// Empties the synced tables and the books about them.
struct SignOut {
    let db: Database
    let catalog: Catalog

    func removeEverything() throws {
        try db.execute(sql: "PRAGMA defer_foreign_keys = ON")
        try ApplyMode(db: db).during {
            for table in catalog.tables { try db.execute(sql: "DELETE FROM \(table.quotedName)") }
            for name in try formerTables() {
                try db.execute(sql: "DELETE FROM \(name.quotedIdentifier)")
            }
        }
        // The deletes were noted as going on during an apply; with the books empty they mean nothing.
        for name in [
            "_sync_rows", "_sync_pending", "_sync_sent", "_sync_held", "_sync_extra",
            "_sync_unseen", "_sync_conflicts",
        ] {
            try db.execute(sql: "DELETE FROM \(name)")
        }
        try ChangeLog(db: db, catalog: catalog).fold()
        // The fold has put the touches of former tables there.
        try db.execute(sql: "DELETE FROM _sync_absent")
        // The last entry stays for its number alone.
        try db.execute(
            sql: """
                UPDATE _sync_log SET key = NULL, image = NULL;
                UPDATE _sync_state SET user_id = NULL, source_id = NULL, next_change_id = 1, cursor = 0,
                  window = 0, hydrated = 0, epoch = NULL, reread = NULL;
                UPDATE _sync_tables SET is_absent = min(is_absent, 1)
                """)
        try DeviceState.ensureSource(db)
    }

    /// Tables that were synced once and are still here, under another name perhaps, which their triggers have
    /// followed: they hold the user's rows, too.
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
