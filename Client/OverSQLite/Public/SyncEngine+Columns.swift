import GRDB

extension SyncEngine {
    /// Makes columns of a synced table ready to be dropped. SQLite refuses `ALTER TABLE … DROP
    /// COLUMN` for a column that a trigger names, and the triggers that note the app's edits name
    /// them all.
    ///
    /// Call it in the migration, before the statement. Edits go on being noted, until the next
    /// engine is made for the database without the row as it was before: should such an edit meet
    /// another device's, all its columns count as edited.
    ///
    /// ```swift
    /// migrator.registerMigration("no more ages") { db in
    ///     try SyncEngine.prepareToDropColumns(of: "users", in: db)
    ///     try db.execute(sql: "ALTER TABLE users DROP COLUMN age")
    /// }
    /// ```
    ///
    /// - Parameters:
    ///   - table: does nothing if it is not synced.
    ///   - db: of the migration that drops the columns.
    /// - Throws: a database error.
    public static func prepareToDropColumns(of table: String, in db: Database) throws {
        let triggers = try Row.fetchAll(
            db,
            sql: """
                SELECT name, sql FROM sqlite_master
                WHERE type = 'trigger' AND lower(tbl_name) = lower(?) AND name GLOB '_sync_[0-9]*_*'
                """, arguments: [table])
        for trigger in triggers {
            let (name, sql): (String, String) = (trigger["name"], trigger["sql"])
            guard let released = CaptureTriggers.withoutImage(sql) else { continue }
            try db.execute(sql: "DROP TRIGGER \(name.quotedIdentifier); \(released)")
        }
    }
}
