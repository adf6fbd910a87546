import GRDB

extension SyncEngine {
    /// Repairs the library's own tables after `SyncError.damagedMetadata`.
    ///
    /// The app's rows stay as they are, and edits and deletions that the server has not confirmed
    /// are sent. The next sync reads the server's log from its start.
    ///
    /// The repair may lose: why a row was rejected; in a conflict, which columns an edit had
    /// changed; and an unsent deletion, if its only trace is a row that is missing here. The disk
    /// may have lost that row, so it comes back.
    ///
    /// If the library no longer knows which version a row has, the row competes with the server's
    /// as an edit does, by the table's policy. What ``withLocalMigration(in:_:)`` wrote may be
    /// sent, or give way to the server's values. If the damage hides whether the server has lost
    /// changes, every row that the server does not have is sent. So a row that was deleted
    /// elsewhere while this device was away may come back.
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
