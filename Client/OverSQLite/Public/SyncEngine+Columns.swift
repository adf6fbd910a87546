import GRDB

extension SyncEngine {
    /// Prepares columns of a synced table for being dropped.
    ///
    /// SQLite refuses `ALTER TABLE … DROP COLUMN` for a column that a trigger names, and the
    /// triggers that capture the app's edits name every column. Call this in the migration, before
    /// the statement.
    ///
    /// Edits are still captured until the next engine is made for the database, but without a copy
    /// of the row as it was before. If such an edit conflicts with another device's, all of its
    /// columns count as edited.
    ///
    /// ```swift
    /// migrator.registerMigration("no more ages") { db in
    ///     try SyncEngine.prepareToDropColumns(of: "users", in: db)
    ///     try db.execute(sql: "ALTER TABLE users DROP COLUMN age")
    /// }
    /// ```
    ///
    /// - Parameters:
    ///   - table: the table's name. Nothing happens if the table is not synced.
    ///   - db: the database of the migration that drops the columns.
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
