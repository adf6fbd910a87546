extension SyncEngine {
    /// Reports of conflicts in which a value written on this device was lost, oldest first.
    ///
    /// The list includes conflicts that were resolved while nobody followed ``events``, or by an
    /// earlier process. A report stays in the database until ``dismiss(_:)`` or a sign-out; the
    /// newest 1000 are kept.
    ///
    /// - Throws: a database error, as `SyncError`.
    public var settledConflicts: [ConflictReport] {
        get async throws { try await session.read { db in try ConflictBook(db: db).all() } }
    }

    /// Deletes a report, for example once the app has shown its values or put them back. Does
    /// nothing if the report is no longer kept.
    ///
    /// - Throws: a database error, as `SyncError`.
    public func dismiss(_ report: ConflictReport) async throws {
        try await session.write { db in try ConflictBook(db: db).forget(report) }
    }
}
