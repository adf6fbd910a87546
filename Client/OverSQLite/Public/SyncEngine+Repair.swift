import GRDB

extension SyncEngine {
    /// Repairs the library's own tables after `SyncError.damagedMetadata`.
    ///
    /// The app's rows stay as they are, and edits that the server has not confirmed are sent: rows
    /// whose place in the queue is damaged are sent as they are now. The next sync reads the
    /// server's log from its start.
    ///
    /// Lost may be: why a row was rejected; in a conflict, which columns an edit had changed;
    /// and a deletion that was not sent, if only the damaged part told of it, or if the
    /// damage is such that every row is compared with the server's. Then each row competes
    /// with the server's as an edit does, by the table's policy.
    ///
    /// If an entry of `_sync_tables` was damaged, edits and deletions that were not sent may
    /// stay unsent, or go out for another table if the tables are given in another order. If
    /// the server has lost changes since the last sync, rows that only this device still has
    /// are removed.
    ///
    /// Stop the engine first, and make a new one afterwards. Keep a copy of the file for the app's
    /// developers.
    ///
    /// - Parameters:
    ///   - database: the app's database. No engine need exist.
    ///   - user: whose rows these are (`sub`), as far as the app knows. It counts only where the
    ///     database does not tell any more. Without it the rows then become those of the user who
    ///     signs in next.
    /// - Returns: what was damaged, one line for each column; empty if nothing was.
    /// - Throws: `SyncError.newerMetadata` if a newer version of the library has made the tables; a
    ///   database error. Nothing is changed then.
    @discardableResult
    public static func repairMetadata(
        in database: any DatabaseWriter, user: String? = nil
    ) throws -> [String] {
        try database.write { db in
            var repair = MetadataRepair(db: db)
            try repair.run(user: user)
            return repair.damage
        }
    }
}
