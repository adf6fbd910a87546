import Synchronization

extension SyncEngine {
    /// Compares all rows with the server's, and repairs those that differ.
    ///
    /// It fetches first. Then it compares what this device received of each row with what the
    /// server's log says of it: whether a change was missed, doubled, or is another one. Pending
    /// edits do not count, and rows that are held do: the device received them. It does not look
    /// into the app's tables, nor into the server's.
    ///
    /// Rows that differ are fetched again and applied by the usual rules: where the server's log
    /// has a newer deletion, the row goes here, too. If the log lacks a row, or has only an older
    /// version, this may be the only copy: it is queued to be sent again. Each table that differed
    /// is also reported as ``SyncEvent/drift(_:)``.
    ///
    /// Rows that wait to be sent again after the server has lost changes are left alone.
    ///
    /// The engine does the same by itself once a day, after a fetch.
    ///
    /// With `deep`, it then compares the app's tables. In the columns that this device and the
    /// server share, it compares the values with those in the server's log, which are what the
    /// server stored. That finds what was written while the triggers were not there, and pages that
    /// were not written as they came. It downloads every row once more, in ranges of 200 keys; in
    /// between the app can write. Rows with unconfirmed edits, rows that are held, and rows that
    /// ``withLocalMigration(in:_:)`` may have given values for this device only are left out and
    /// counted. Columns that only one side has, and columns that cannot hold every value of the
    /// server's type, are named and left out. A row that differs takes the server's values; those
    /// that it had are among ``settledConflicts``. A row that only the app's table has is queued to
    /// be sent.
    ///
    /// - Parameter deep: whether the values in the app's tables are compared, too.
    /// - Returns: the result for each table. Tables are not compared if the server is older than
    ///   this feature.
    /// - Throws: `SyncError`, for example `SyncError.paused` while sync is paused.
    @discardableResult
    public func verify(deep: Bool = false) async throws -> VerifyReport {
        let result = Mutex(VerifyReport(tables: []))
        try await exchange {
            let report = try await self.session.verify(isDeep: deep)
            result.withLock { $0 = report }
        }
        return result.withLock { $0 }
    }
}
