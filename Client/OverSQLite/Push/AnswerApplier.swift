import Foundation
import GRDB

/// Deals with the answer to an upload in one transaction, all rows at once.
struct AnswerApplier {
    struct Summary {
        /// Rows that wait no more, or wait on a newer base: the run gets on.
        var progress = 0
        /// Rows that wait no more.
        var confirmed = 0
        /// The request was too large for the server.
        var mustShrink = false
        /// Rows set aside for reasons that may pass as others get through.
        var setAside: [PageApplier.TableKey] = []
        var reports: [ConflictReport] = []
        var rejected: [RejectedChange] = []
    }

    let db: Database
    let catalog: Catalog
    let ownSource: String
    let now: Double
    let jitter: () -> Double
    /// False where settling conflicts left a row without its parent: they then wait for the feed.
    let settlesConflicts: Bool
    private let tables: TableWriters
    private let queue: PendingQueue
    private let held: HeldRows
    private let hasHeld: Bool
    private(set) var summary = Summary()

    /// What became of edits beyond what the queue shows.
    var outcomes: [RowOutcome] { tables.outcomes }

    init(
        _ db: Database, _ catalog: Catalog, ownSource: String, now: Double,
        jitter: @escaping () -> Double,
        settlesConflicts: Bool = true
    ) throws {
        self.settlesConflicts = settlesConflicts
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

    /// The caller has folded the log, so that the queue knows every edit, and has set apply mode.
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
        let sent = try queue.sent(table, change.key)
        let action = PushRules.decide(
            status, for: change, waiting: pending.map { ($0.revision, $0.base) },
            sent: Dictionary(sent.map { ($0.changeID, $0.revision) }, uniquingKeysWith: { $1 }),
            ownSource: ownSource, batchCount: batchCount)
        // Whoever discards the row later can be sure of it.
        if case .invalid = status, action != .shrink {
            try queue.forgetSent(table, change.key, change.changeID)
        }
        guard let pending else {
            if case .confirm(let version?) = action {
                try noteConfirmed(version, change, table, nil)
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
                try noteConfirmed(version, change, table, pending)
            } else {
                try tables.known.forget(table, change.key)
            }
            try takePostponed(table, change.key, local: pending.local)
            summary.progress += 1
            summary.confirmed += 1
        case .advance(let version):
            try noteConfirmed(version, change, table, pending)
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
        case .refuse(let refusal, let retry): try refuse(pending, table, refusal, retry)
        case .rebase, .settle: try meet(status, pending, table, isOwn: action == .rebase)
        }
    }

    private func noteConfirmed(
        _ version: Int64, _ change: SentChange, _ table: TableSchema, _ pending: PendingRow?
    ) throws {
        let known = try tables.known.find(table, change.key)
        // A page may have brought a later version while the answer was under way.
        if let known, known.row.version > version { return }
        let spelling = pending?.local ?? known?.spelling ?? .null
        try tables.known.note(
            table, change.key, KnownRow(version: version, isDeleted: change.operation == .delete),
            local: spelling)
    }

    /// Writes the version that came while it was not known what had become of the row's edits. Where this database
    /// cannot take it, it is tried again with the next page.
    private func takePostponed(_ table: TableSchema, _ key: RowKey, local: DatabaseValue) throws {
        guard hasHeld, settlesConflicts, let entry = try held.entry(table, key) else { return }
        _ = try held.take(entry, table, local: local, tables)
    }

    private mutating func meet(
        _ status: ChangeStatus, _ pending: PendingRow, _ table: TableSchema, isOwn: Bool
    ) throws {
        guard case .conflict(let row?) = status else { return }
        if isOwn {
            let sent = try queue.sent(table, pending.key).first { $0.changeID == row.changeID }
            try OwnWrite(db: db, tables: tables).rebase(
                pending, in: table, onto: row, sent: sent?.revision)
            summary.progress += 1
            return
        }
        guard settlesConflicts else {
            let refusal = Refusal(
                reason: "conflict", message: "the server's row needs rows that are not here")
            return try refuse(pending, table, refusal, .soon)
        }
        do {
            var settlement = Settlement.open(nil)
            try db.inSavepoint {
                settlement = try ConflictResolver(db: db, tables: tables).settle(
                    pending, in: table, against: row)
                return .commit
            }
            if let report = settlement.report { summary.reports.append(report) }
            if case .open(let refused?) = settlement { summary.rejected.append(refused) }
            let left = try queue.row(table, pending.key)
            if left?.reason == nil { summary.progress += 1 }
            if left == nil { summary.confirmed += 1 }
        } catch let flaw as RowFlaw {
            try refuse(
                pending, table, Refusal(reason: "conflict", message: flaw.description), .soon)
        } catch let error as DatabaseError
            where error.resultCode.primaryResultCode == .SQLITE_CONSTRAINT
        {
            try refuse(pending, table, Refusal(reason: "conflict", message: error.message), .soon)
        }
    }

    private mutating func refuse(
        _ pending: PendingRow, _ table: TableSchema, _ refusal: Refusal, _ retry: PushRules.Retry
    ) throws {
        let retryAt = RetrySchedule.next(
            retry, attempts: pending.attempts, now: now, jitter: jitter())
        try queue.refuse(table, pending.key, refusal, retryAt: retryAt)
        // An answer has come, so nothing is in doubt about what was sent before.
        if retry == .soon { summary.setAside.append(.init(tableID: table.id, key: pending.key)) }
        // A retry that is refused for the same reason is nothing new.
        if pending.wasRefused(for: refusal) { return }
        summary.rejected.append(
            RejectedChange(
                table: table.name, key: pending.key.wire, reason: refusal.reason,
                message: refusal.message, retryAt: retryAt.map(Date.init(timeIntervalSince1970:))))
    }
}

extension Operation {
    /// The operation that carries this edit once `change` stands on the server.
    func onTop(of change: SentChange) -> Operation {
        if self == .delete { return .delete }
        return change.operation == .delete ? .insert : .update
    }
}
