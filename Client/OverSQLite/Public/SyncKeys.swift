import GRDB

extension Database {
    /// The next number for a row that the app creates in a table that the server numbers.
    ///
    /// The device has leased it from the table's own sequence, so neither the server nor another
    /// device gives it to another row, and the row keeps it. Call it in the write transaction that
    /// inserts the row, and insert with the number:
    ///
    /// ```swift
    /// try database.write { db in
    ///     let id = try db.nextSyncKey(for: "orders")
    ///     try Order(id: id, title: "Paper").insert(db)
    /// }
    /// ```
    ///
    /// If the transaction is rolled back, a later call gives the number out again. Numbers that no
    /// row gets are lost to the sequence; it has gaps anyway.
    ///
    /// The engine leases numbers at the first sync, and again when half of them are used, more at a
    /// time where they are used up quickly. So a device that is offline creates rows from what it
    /// has.
    ///
    /// - Parameter table: the name of a table that the engine syncs with
    ///   ``OverSQLite/SyncTable/leasesKeys``.
    /// - Throws: ``SyncKeyError``, ``SyncError/damagedMetadata(_:)`` or a database error.
    public func nextSyncKey(for table: String) throws -> Int64 {
        try KeyRanges(db: self).take(of: table)
    }
}
