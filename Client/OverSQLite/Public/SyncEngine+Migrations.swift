import GRDB

extension SyncEngine {
    /// Runs a part of a migration whose changes are for this device only.
    ///
    /// What a migration writes to synced tables counts as edits, whether it uses UPDATE or rebuilds
    /// a table. The edits are sent, unless another device has sent the same. Inside `body`, nothing
    /// counts as an edit. The server's rows stay as they are. The device's next edit of a row sends
    /// the whole row, with what `body` has written. So does a later migration that rebuilds the
    /// table outside of this call.
    ///
    /// A row takes the server's values again with its next version from there. Reading the log
    /// again from its start, as for a new table, changes nothing, with two exceptions. A row whose
    /// last edit was sent, and that no download has reached since, takes the server's stored
    /// values. A server that begins a new epoch is compared row by row, and its values stand.
    ///
    /// Rows that `body` deletes, or leaves out when it rebuilds a table, are downloaded again.
    /// Rows that it adds stay on this device until the app edits them.
    ///
    /// ```swift
    /// migrator.registerMigration("search text") { db in
    ///     try SyncEngine.withLocalMigration(in: db) {
    ///         try db.execute(sql: "UPDATE notes SET title = trim(title)")
    ///     }
    /// }
    /// ```
    ///
    /// - Parameters:
    ///   - db: the database of the migration. No engine need exist; if the database was never
    ///     synced, this only runs `body`.
    ///   - body: the changes. They are undone if it throws.
    /// - Returns: what `body` returns.
    /// - Throws: what `body` throws; a database error.
    public static func withLocalMigration<Value>(
        in db: Database, _ body: () throws -> Value
    ) throws -> Value {
        try LocalMigration(db: db).run(body)
    }
}
