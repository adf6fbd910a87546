import GRDB

/// Edits of rows, and what becomes of them on the server.
///
/// The handle is the app's; it costs a few words for each row and may be dropped at any time. It
/// does not outlive the process, the edits do: after a relaunch `SyncEngine.pendingChanges()` gives
/// a handle on all that still waits.
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

    /// How many rows they are of.
    public var count: Int { edits.count }

    /// Returns when it is known what became of each row, in the order they were written.
    ///
    /// Offline that may take long: cancel the task that waits to wait no more. A row that was
    /// rejected and is tried again by itself counts as rejected until then; after `retry(_:)` this
    /// waits anew.
    ///
    /// - Throws: `SyncError.stopped` if nothing runs that could settle a row that is still open, or
    ///   once `stop()` is called: `start()` first, or ask after `sendChanges()`.
    ///   `CancellationError`; a database error.
    public func confirmations() async throws -> [ChangeConfirmation] {
        try await session.refreshCounts(confirming: .watch(id))
        let outcomes = try await session.outcomes.outcomes(of: id)
        return zip(edits, outcomes).map { edit, outcome in
            ChangeConfirmation(
                table: session.catalog.table(id: edit.row.tableID)?.name ?? "",
                key: edit.row.key.wire, outcome: outcome)
        }
    }

    /// Returns when the server has every row.
    ///
    /// - Throws: `UnconfirmedChanges` with the rows that were rejected, overruled or discarded; and
    ///   what ``confirmations()`` throws.
    public func confirmed() async throws {
        let failed = try await confirmations().filter { $0.outcome != .accepted }
        guard failed.isEmpty else { throw UnconfirmedChanges(changes: failed) }
    }
}

/// A write of the app's, done here and on its way to the server.
public struct SyncWrite<Value: Sendable>: Sendable {
    /// What the app's closure returned.
    public let value: Value
    /// The rows of synced tables that it touched.
    public let changes: PendingChanges

    /// Returns the value once the server has every row; see `PendingChanges.confirmed()`.
    @discardableResult
    public func confirmed() async throws -> Value {
        try await changes.confirmed()
        return value
    }
}

extension SyncEngine {
    /// Writes in one transaction of the database, as GRDB's `write` does, and gives a handle on
    /// what becomes of the rows it touches.
    ///
    /// ```swift
    /// let write = try await engine.write { db in try post.insert(db) }
    /// try await write.confirmed()
    /// ```
    /// Writes through the database itself are noted and sent just the same. Rows of tables that are
    /// not synced are none of the handle's.
    ///
    /// - Throws: what the closure or the database throws; nothing was then written.
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

    /// A handle on every edit that waits now, the rejected ones included, as after a relaunch.
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
