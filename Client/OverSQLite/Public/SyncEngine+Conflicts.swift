extension SyncEngine {
    /// Conflicts in which something written on this device was given up, oldest first, also those
    /// that were settled while nobody followed the ``events`` or by an earlier process. Each is
    /// kept in the database until ``dismiss(_:)``, the newest 1000 of them, and goes at a sign-out.
    ///
    /// - Throws: a database error, as `SyncError`.
    public var settledConflicts: [ConflictReport] {
        get async throws { try await session.read { db in try ConflictBook(db: db).all() } }
    }

    /// Forgets a report whose values have been shown, or put back. Does nothing if it is not kept.
    ///
    /// - Throws: a database error, as `SyncError`.
    public func dismiss(_ report: ConflictReport) async throws {
        try await session.write { db in try ConflictBook(db: db).forget(report) }
    }
}
