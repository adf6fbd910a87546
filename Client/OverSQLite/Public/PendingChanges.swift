import GRDB

/// Edits of rows, and a way to learn what became of them on the server.
///
/// You can drop the handle at any time; it costs a few words of memory per row. The handle ends
/// with the process, but the edits do not: after a relaunch, `SyncEngine.pendingChanges()` returns
/// a handle to every edit that is still pending.
public final class PendingChanges: Sendable {
    private let session: SyncSession
    private let edits: [WatchedEdit]
    private let id: UInt64

    init(_ edits: [WatchedEdit], in session: SyncSession) {
        self.session = session
        self.edits = edits
        id = session.outcomes.watch(edits)
    }

    deinit { session.outcomes.forget(id) }

    /// The number of rows.
    public var count: Int { edits.count }

    /// Waits until the outcome of every row is known, and returns the outcomes in the order the
    /// rows were first written.
    ///
    /// While the device is offline this can take any amount of time; cancel the waiting task to
    /// give up. A rejected row counts as rejected until it is sent again, by an automatic retry or
    /// after `retry(_:)`. From then on this method waits for its new outcome.
    ///
    /// - Throws: `SyncError.stopped` if an outcome is still open and nothing is syncing, or if
    ///   `stop()` is called meanwhile. Call `start()` first, or call this method after
    ///   `sendChanges()`. `CancellationError` if the task is cancelled; a database error, as
    ///   `SyncError`.
    public func confirmations() async throws -> [ChangeConfirmation] {
        try await session.refreshCounts(confirming: .watch(id))
        let outcomes = try await session.outcomes.outcomes(of: id)
        return zip(edits, outcomes).map { edit, outcome in
            ChangeConfirmation(
                table: session.catalog.table(id: edit.row.tableID)?.name ?? "",
                key: edit.row.key.wire, outcome: outcome)
        }
    }

    /// Waits until the server has accepted every row.
    ///
    /// - Throws: `UnconfirmedChanges`, which lists the rows that were rejected, overruled or
    ///   discarded; and every error of ``confirmations()``.
    public func confirmed() async throws {
        let failed = try await confirmations().filter { $0.outcome != .accepted }
        guard failed.isEmpty else { throw UnconfirmedChanges(changes: failed) }
    }
}

/// The result of ``SyncEngine/write(_:)``: committed on this device, and pending for the server.
public struct SyncWrite<Value: Sendable>: Sendable {
    /// The value that the app's closure returned.
    public let value: Value
    /// The rows of synced tables that the write changed.
    public let changes: PendingChanges

    /// Waits until the server has accepted every row, then returns the value.
    ///
    /// - Throws: `UnconfirmedChanges`, and every error of `PendingChanges.confirmed()`.
    @discardableResult
    public func confirmed() async throws -> Value {
        try await changes.confirmed()
        return value
    }
}

extension SyncEngine {
    /// Runs a write transaction, like GRDB's `write`, and returns a handle to the rows it changed.
    ///
    /// ```swift
    /// let write = try await engine.write { db in try post.insert(db) }
    /// try await write.confirmed()
    /// ```
    /// Writes made directly through the database are captured and sent as well; this method only
    /// adds the handle. The handle does not include rows of tables that are not synced.
    ///
    /// - Throws: what the closure or the database throws. The transaction is then rolled back.
    public func write<Value: Sendable>(
        _ updates: @escaping @Sendable (Database) throws -> Value
    ) async throws -> SyncWrite<Value> {
        let session = session
        return try await session.database.write { db in
            let log = ChangeLog(db: db, catalog: session.catalog)
            let start = try TouchLog(db: db).lastSequence()
            let value = try updates(db)
            let changes = PendingChanges(try log.edits(after: start), in: session)
            return SyncWrite(value: value, changes: changes)
        }
    }

    /// Returns a handle to every edit that is pending now, including rejected ones. Use it after a
    /// relaunch.
    ///
    /// - Throws: a database error, as `SyncError`.
    public func pendingChanges() async throws -> PendingChanges {
        let session = session
        return try await session.write { db in
            try ChangeLog(db: db, catalog: session.catalog).fold()
            return PendingChanges(try PendingQueue(db: db).edits(session.catalog), in: session)
        }
    }
}
