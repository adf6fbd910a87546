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
    /// has a newer deletion, the row goes here, too. A row of which the log has nothing, or only an
    /// older version, may be the only copy: it is queued to be sent again. Each table that differed
    /// is also reported as ``SyncEvent/drift(_:)``.
    ///
    /// Rows that wait to be sent again after the server has lost changes are left alone.
    ///
    /// The engine does the same by itself once a day, after a fetch.
    ///
    /// - Returns: the result for each table. Tables are not compared if the server is older than
    ///   this feature.
    /// - Throws: `SyncError`, for example `SyncError.paused` while sync is paused.
    @discardableResult
    public func verify() async throws -> VerifyReport {
        let result = Mutex(VerifyReport(tables: []))
        try await exchange {
            let report = try await self.session.verify()
            result.withLock { $0 = report }
        }
        return result.withLock { $0 }
    }
}
