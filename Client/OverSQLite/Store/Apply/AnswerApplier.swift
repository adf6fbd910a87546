import Foundation
import GRDB

/// Processes the answer to an upload in one transaction, for all rows at once.
struct AnswerApplier {
    struct Summary {
        /// Rows that are no longer pending, or pending on a newer base: the run makes progress.
        var progress = 0
        /// Rows that are no longer pending.
        var confirmed = 0
        /// Whether the request was too large for the server.
        var mustShrink = false
        /// Rows rejected for reasons that may pass when other rows get through.
        var setAside: [TableKey] = []
        var reports: [ConflictReport] = []
        var rejected: [RejectedChange] = []
        /// Rows that were rejected for want of a row that was not, by the row that they need.
        var orphaned: [(parent: TableKey, change: RejectedChange)] = []
    }

    let db: Database
    let catalog: DeviceCatalog
    let ownSource: String
    let now: Double
    let jitter: () -> Double
    /// False if resolving conflicts left a row without its parent. Then conflicts wait for the
    /// download.
    let resolvesConflicts: Bool
    private let tables: TableWriters
    private let queue: PendingQueue
    private let held: HeldRows
    private let hasHeld: Bool
    /// By table, the oldest edit that is to be sent of those that refer to it.
    private var oldestChildren: [Int64: Int64] = [:]
    private(set) var summary = Summary()

    /// Outcomes of edits that the queue does not show.
    var outcomes: [RowOutcome] { tables.outcomes }

    init(
        _ db: Database, _ catalog: DeviceCatalog, ownSource: String, now: Double,
        jitter: @escaping () -> Double,
        resolvesConflicts: Bool = true
    ) throws {
        self.resolvesConflicts = resolvesConflicts
        self.db = db
        self.catalog = catalog
        self.ownSource = ownSource
        self.now = now
        self.jitter = jitter
        tables = try TableWriters(db)
        queue = PendingQueue(db: db)
        held = HeldRows(db: db)
        hasHeld = try held.count() > 0
    }

    /// Applies the answer. The caller has folded the log, so that the queue knows every edit, and
    /// has set apply mode.
    mutating func apply(_ statuses: [ChangeStatus], to batch: OutgoingBatch) throws {
        for (status, change) in zip(statuses, batch.changes) {
            guard let table = catalog.table(id: change.tableID) else { continue }
            try apply(status, change, table, batchCount: batch.changes.count)
        }
        try tables.announce()
    }

    private mutating func apply(
        _ status: ChangeStatus, _ change: SentChange, _ table: TableSchema, batchCount: Int
    ) throws {
        let pending = try queue.row(table, change.key)
        let sent = try queue.sent.records(table, change.key)
        let action = PushRules.decide(
            status, for: change, waiting: pending.map { ($0.revision, $0.base) },
            sent: Dictionary(sent.map { ($0.changeID, $0.revision) }, uniquingKeysWith: { $1 }),
            ownSource: ownSource, batchCount: batchCount)
        // The server has nothing of this change, so a later discard need not undo it there.
        if case .invalid = status, action != .shrink {
            try queue.sent.remove(table, change.key, change.changeID)
        }
        guard let pending else {
            if case .confirm(let version?) = action {
                try recordConfirmed(version, change, table, nil)
            }
            return
        }
        switch action {
        case .leave:
            // On another base it is another change, to be sent in this run.
            if pending.base != change.base { summary.progress += 1 }
        case .shrink: summary.mustShrink = true
        case .confirm(let version):
            try queue.remove(table, change.key)
            if let version {
                try recordConfirmed(version, change, table, pending)
            } else {
                try tables.known.forget(table, change.key)
            }
            try takePostponed(table, change.key, local: pending.local)
            summary.progress += 1
            summary.confirmed += 1
        case .advance(let version):
            try recordConfirmed(version, change, table, pending)
            try queue.rebase(
                table, change.key, onto: max(version, pending.base),
                as: pending.operation.onTop(of: change),
                image: pending.sentImage ?? pending.image)
            tables.outcomes.append(
                RowOutcome(
                    row: .init(tableID: table.id, key: change.key),
                    kind: .reached(revision: change.revision)))
            summary.progress += 1
        case .recreate:
            try tables.known.forget(table, change.key)
            try queue.rebase(table, change.key, onto: 0, as: .insert, image: nil)
            summary.progress += 1
        case .reject(let rejection, let retry):
            // It goes again in this run, with the children or after them.
            if try waitsForChildren(change, table, rejection) { return }
            try reject(pending, table, rejection, retry)
        case .rebase, .resolve: try meet(status, change, pending, table, isOwn: action == .rebase)
        }
    }

    private func recordConfirmed(
        _ version: Int64, _ change: SentChange, _ table: TableSchema, _ pending: PendingRow?
    ) throws {
        let known = try tables.known.find(table, change.key)
        // A page may have brought a later version while the request was running.
        if let known, known.row.version > version { return }
        let spelling = pending?.local ?? known?.spelling ?? .null
        try tables.known.record(
            table, change.key, KnownRow(version: version, isDeleted: change.operation == .delete),
            local: spelling, term: known.flatMap { $0.row.version == version ? $0.term : nil })
    }

    /// Writes the version that was held until the outcome of the row's edits was known. If this
    /// database cannot take it, it is tried again with the next page.
    private func takePostponed(_ table: TableSchema, _ key: DeviceRowKey, local: DatabaseValue)
        throws
    {
        guard hasHeld, resolvesConflicts, let entry = try held.entry(table, key) else { return }
        _ = try held.take(entry, table, local: local, tables)
    }

    private mutating func meet(
        _ status: ChangeStatus, _ change: SentChange, _ pending: PendingRow, _ table: TableSchema,
        isOwn: Bool
    ) throws {
        guard case .conflict(let row?) = status else { return }
        if isOwn {
            let sent = try queue.sent.records(table, pending.key).first {
                $0.changeID == row.changeID
            }
            try OwnWrite(db: db, tables: tables, writesRow: resolvesConflicts).rebase(
                pending, in: table, onto: row, sent: sent?.revision)
            summary.progress += 1
            return
        }
        guard resolvesConflicts else {
            let rejection = Rejection(
                reason: "conflict",
                message: "the server's row refers to rows that are not on this device yet")
            return try reject(pending, table, rejection, .soon)
        }
        do {
            var resolution = Resolution.open(nil)
            try db.inSavepoint {
                resolution = try ConflictResolver(db: db, tables: tables).resolve(
                    pending, in: table, against: row)
                return .commit
            }
            if let report = resolution.report { summary.reports.append(report) }
            if case .open(let refused?) = resolution { summary.rejected.append(refused) }
            let left = try queue.row(table, pending.key)
            if left?.reason == nil { summary.progress += 1 }
            if left == nil { summary.confirmed += 1 }
        } catch let flaw as RowFlaw {
            try reject(
                pending, table, Rejection(reason: "conflict", message: flaw.description), .soon)
        } catch let error as DatabaseError
            where error.isOfTheRow
        {
            try reject(pending, table, Rejection(reason: "conflict", message: error.message), .soon)
            try hold(row, change, pending, table, error)
        }
    }

    /// Holds the server's row, which perhaps can be written together with others. The server has
    /// nothing of the change, so that the outcome of the row's edits is known.
    private func hold(
        _ row: RemoteRow, _ change: SentChange, _ pending: PendingRow, _ table: TableSchema,
        _ error: DatabaseError
    ) throws {
        try queue.sent.remove(table, pending.key, change.changeID)
        if row.payload == nil { return }
        let entry = try held.entry(table, pending.key)
        if let entry, entry.row.version > row.version { return }
        try held.hold(
            table, pending.key, row, .constraint,
            error.message ?? "it violates a constraint of this database")
    }

    /// Whether PostgreSQL has refused to delete a row while edits of its children, which were made
    /// before, are still to be sent: an answer to one of them was lost, or they had no room.
    private mutating func waitsForChildren(
        _ change: SentChange, _ table: TableSchema, _ rejection: Rejection
    ) throws -> Bool {
        guard change.operation == .delete, rejection.reason == PushRules.materializeError else {
            return false
        }
        // The answers to children come first.
        let oldest =
            try oldestChildren[table.id]
            ?? ParentDeletes(db: db, catalog: catalog, now: now).oldestChild(of: table)
        oldestChildren[table.id] = oldest
        return oldest < change.revision
    }

    private mutating func reject(
        _ pending: PendingRow, _ table: TableSchema, _ rejection: Rejection,
        _ retry: PushRules.Retry
    ) throws {
        let retryAt = RetrySchedule.next(
            retry, attempts: pending.attempts, now: now, jitter: jitter())
        try queue.reject(table, pending.key, rejection, retryAt: retryAt)
        // The server answered, so nothing that was sent earlier is uncertain.
        if retry == .soon { summary.setAside.append(.init(tableID: table.id, key: pending.key)) }
        // A retry that is rejected for the same reason is not reported again.
        if pending.wasRejected(for: rejection) { return }
        let change = RejectedChange(
            table: table.name, key: pending.key.wire, reason: rejection.reason,
            message: rejection.message, retryAt: retryAt.map(Date.init(timeIntervalSince1970:)))
        guard rejection.reason == "fk_missing",
            let parent = try missingParent(of: pending, in: table)
        else { return summary.rejected.append(change) }
        // The rejection of the parent is the news, and this one follows from it.
        if try !queue.has(parent) { summary.orphaned.append((parent, change)) }
    }

    /// The first row that this one refers to and that the server does not have.
    private func missingParent(of pending: PendingRow, in table: TableSchema) throws -> TableKey? {
        guard let values = try LocalRow(db: db, table: table).values(pending.local) else {
            return nil
        }
        for column in table.columns {
            guard let reference = column.reference, let value = values[column.wireName],
                let parent = catalog.table(id: reference.tableID),
                let key = reference.form.key(fromLocal: value) ?? reference.key(of: value),
                try tables.known.find(parent, key)?.row.isDeleted != false
            else { continue }
            return TableKey(tableID: parent.id, key: key)
        }
        return nil
    }
}
