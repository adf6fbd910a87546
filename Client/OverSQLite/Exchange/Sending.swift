import GRDB
import Synchronization

/// Sends pending changes: composes a batch in one transaction, sends it outside of any, and applies
/// the answer in another.
struct Sending {
    let session: SyncSession

    /// Reasons to reject a row of a table that the server does not offer.
    private static let unserved: Set = ["unregistered_table", "forbidden_table"]

    /// What came of a run.
    struct Outcome: Sendable {
        /// When the next rejected row is due, in seconds since 1970; nil if none is.
        let retryAt: Double?
        /// Whether the server has taken a change, and so may have stored another row than was sent.
        let hasConfirmed: Bool
    }

    /// - Throws: `SyncError`. Unanswered changes stay pending under their change ids.
    func run() async throws -> Outcome {
        var run = SendRun()
        var isGivenUp = false
        var answered = 0
        while true {
            let batch = try await compose()
            session.board.post(batch.rejected.map(SyncEvent.rejected))
            guard !batch.changes.isEmpty else {
                guard case .retry(let rows) = run.emptied() else { break }
                try await makeDue(rows)
                continue
            }
            showProgress(answered, composed: batch.changes.count)
            if try await exchange(batch, &run) == .stop {
                isGivenUp = true
                break
            }
            answered += batch.changes.count
        }
        session.board.update { $0.uploadProgress = nil }
        try await session.refreshCounts(confirming: .all)
        let catalog = session.catalog
        let next = try await session.read { db in try PendingQueue(db: db).nextRetry(catalog) }
        // Due rows may be left over, and nothing else would send them.
        return Outcome(
            retryAt: isGivenUp ? session.now + RetrySchedule.soon : next,
            hasConfirmed: run.hasConfirmed)
    }

    /// Shows how far this run has come, before it sends.
    ///
    /// - Parameters:
    ///   - answered: rows that the server has answered.
    ///   - composed: rows of the next upload. The status counts them once they are folded.
    private func showProgress(_ answered: Int, composed: Int) {
        session.board.update { status in
            var progress = SyncStatus.UploadProgress()
            progress.answeredRows = answered
            let waiting = max(composed, status.pendingCount - status.rejectedCount)
            progress.totalRows = answered + waiting
            status.uploadProgress = progress
        }
    }

    private func compose() async throws -> OutgoingBatch {
        let (limit, bytes) = session.pacer.withLock { ($0.limit, $0.bytes) }
        let (catalog, schema, now) = (session.catalog, session.configuration.schema, session.now)
        return try await session.write { db in
            let state = try DeviceStateTable(db: db).read()
            try session.checkUser(state)
            try ChangeLog(db: db, catalog: catalog).fold()
            var batch = try BatchComposer(db: db, catalog: catalog, schema: schema).compose(
                limit: limit, bytes: bytes, now: now)
            batch.history = state.history
            return batch
        }
    }

    private func exchange(_ batch: OutgoingBatch, _ run: inout SendRun) async throws -> SendRun.Step
    {
        let compresses = try await compresses(batch)
        switch try await session.gateway.upload(
            batch.body, compresses: compresses, history: batch.history)
        {
        case .tooLarge:
            guard batch.changes.count > 1 else {
                try await refuseAsTooLarge(batch)
                return .go
            }
            session.pacer.withLock { $0.shrink(bytesSent: batch.body.count) }
            return run.answered(progress: 0, confirmed: 0, setAside: [], isShrunk: true)
        case .late(let seconds):
            session.pacer.withLock { $0.shrink(late: batch.changes.count) }
            throw SyncError.busy(retryAfter: seconds)
        case .notCompressed:
            session.forgetOffer(of: .gzip)
            return .go
        case .answer(let answer):
            guard answer.statuses.count == batch.changes.count else {
                throw SyncError.notTheGateway(
                    "an answer with fewer or more statuses than changes")
            }
            let summary = try await apply(answer, to: batch)
            if summary.mustShrink {
                session.pacer.withLock { $0.shrink(sent: batch.changes.count) }
            } else {
                session.pacer.withLock { $0.grow() }
            }
            session.board.post(
                summary.reports.map(SyncEvent.conflict) + summary.rejected.map(SyncEvent.rejected)
                    + session.news(of: summary.orphaned).map(SyncEvent.rejected))
            if summary.rejected.contains(where: { Self.unserved.contains($0.reason) }) {
                // The server's tables tell whether the schema is wrong.
                _ = try? await session.capabilities()
            }
            let rows = batch.changes.map {
                TableKey(tableID: $0.tableID, key: $0.key)
            }
            try await session.refreshCounts(
                confirmed: summary.confirmed > 0, confirming: .answered(rows))
            return run.answered(
                progress: summary.progress, confirmed: summary.confirmed,
                setAside: summary.setAside,
                isShrunk: summary.mustShrink)
        }
    }

    /// Thrown to roll back a transaction in which resolving a conflict left a row without its
    /// parent.
    private struct HasOpenForeignKeys: Error {}

    private func apply(_ answer: UploadAnswer, to batch: OutgoingBatch) async throws
        -> AnswerApplier.Summary
    {
        do {
            return try await apply(answer, to: batch, resolvesConflicts: true)
        } catch is HasOpenForeignKeys {
            return try await apply(answer, to: batch, resolvesConflicts: false)
        }
    }

    private func apply(
        _ answer: UploadAnswer, to batch: OutgoingBatch, resolvesConflicts: Bool
    ) async throws -> AnswerApplier.Summary {
        let (catalog, now, randomness, outcomes) = (
            session.catalog, session.now, session.configuration.randomness, session.outcomes
        )
        return try await session.write { db in
            let state = try DeviceStateTable(db: db).read()
            try session.checkUser(state)
            try db.execute(sql: "PRAGMA defer_foreign_keys = ON")
            let log = ChangeLog(db: db, catalog: catalog)
            try log.fold()
            var applier = try AnswerApplier(
                db, catalog, ownSource: state.sourceID, now: now, jitter: randomness,
                resolvesConflicts: resolvesConflicts)
            try ApplyMode(db: db).during { try applier.apply(answer.statuses, to: batch) }
            var summary = applier.summary
            let lost = try log.fold()
            summary.reports += lost.map(ConflictReport.init(lost:))
            if resolvesConflicts, db.hasOpenForeignKeys { throw HasOpenForeignKeys() }
            try DeviceStateTable(db: db).record(answer.history)
            try ConflictBook(db: db).record(summary.reports)
            outcomes.record(applier.outcomes + lost.map(RowOutcome.init(lost:)), with: db)
            return summary
        }
    }

    /// Compressing a small body saves nothing.
    private func compresses(_ batch: OutgoingBatch) async throws -> Bool {
        guard let threshold = session.configuration.compressionThreshold,
            batch.body.count >= threshold
        else { return false }
        do { return try await session.capabilities().offers(.gzip) } catch SyncError.notTheGateway {
            // The upload itself will show whether the gateway is there.
            return false
        }
    }

    private func refuseAsTooLarge(_ batch: OutgoingBatch) async throws {
        let catalog = session.catalog
        let rejected = try await session.write { db in
            // An edit made while the row was being sent may have made it smaller.
            try ChangeLog(db: db, catalog: catalog).fold()
            let queue = PendingQueue(db: db)
            return try batch.changes.compactMap { change -> RejectedChange? in
                guard let table = catalog.table(id: change.tableID),
                    try queue.row(table, change.key)?.revision == change.revision
                else { return nil }
                try queue.reject(table, change.key, .tooLarge)
                return RejectedChange(.tooLarge, of: change.key, in: table)
            }
        }
        session.board.post(rejected.map(SyncEvent.rejected))
    }

    private func makeDue(_ rows: [TableKey]) async throws {
        let (catalog, now) = (session.catalog, session.now)
        try await session.write { db in
            for row in rows {
                guard let table = catalog.table(id: row.tableID) else { continue }
                try PendingQueue(db: db).makeDue(table, row.key, at: now)
            }
        }
    }
}
