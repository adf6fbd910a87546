import GRDB
import Synchronization

/// The watched edits of a session, and the tasks that wait for their outcomes.
final class OutcomeWatch: Sendable {
    typealias Waiter = CheckedContinuation<[ChangeOutcome], any Error>

    private struct State {
        var book = OutcomeBook()
        var waiters: [UInt64: [(id: UInt64, waiter: Waiter)]] = [:]
        var nextWaiter: UInt64 = 0
        /// The number of running loops and exchanges, which can bring an outcome.
        var workers = 0
    }

    private let state = Mutex(State())

    func watch(_ edits: [WatchedEdit]) -> UInt64 { state.withLock { $0.book.watch(edits) } }

    func forget(_ id: UInt64) { state.withLock { $0.book.forget(id) } }

    // MARK: Outcomes

    /// Records outcomes once their transaction is committed, before any other transaction begins.
    func record(_ outcomes: [RowOutcome], with db: Database) {
        guard !outcomes.isEmpty, !state.withLock({ $0.book.isEmpty }) else { return }
        db.afterNextTransaction { [self] _ in
            tell { book in outcomes.flatMap { book.record($0) } }
        }
    }

    /// Records that this transaction discards every pending edit.
    func discardAll(with db: Database) {
        let rows = rows(in: .all)
        record(rows.map { RowOutcome(row: $0, kind: .discarded) }, with: db)
    }

    /// Which rows to look up.
    enum Scope: Sendable {
        case none
        /// Rows that have been answered. A rejected row may be retried in the same run, so its
        /// rejection is not final yet.
        case answered([TableKey])
        /// Every row; no run is in progress.
        case all
        /// The rows of one watch.
        case watch(UInt64)
    }

    /// Compares watched rows with the queue. The caller has folded the log.
    ///
    /// - Parameter now: seconds since 1970; a rejected row that is due counts as pending again.
    func confirm(_ db: Database, _ catalog: DeviceCatalog, _ scope: Scope, now: Double) throws {
        let rows = rows(in: scope)
        guard !rows.isEmpty else { return }
        var takesRejections = true
        if case .answered = scope { takesRejections = false }
        let queue = PendingQueue(db: db)
        var found: [(row: TableKey, entry: OutcomeBook.Entry?)] = []
        for row in rows {
            guard let table = catalog.table(id: row.tableID) else { continue }
            let entry = try queue.entry(table, row.key, now: now)
            if !takesRejections, entry?.rejection != nil { continue }
            found.append((row, entry))
        }
        tell { book in found.flatMap { book.compare($0.row, with: $0.entry) } }
    }

    private func rows(in scope: Scope) -> [TableKey] {
        state.withLock { state in
            switch scope {
            case .none: []
            case .answered(let rows): rows.filter(state.book.isWatched)
            case .all: state.book.openRows()
            case .watch(let id): state.book.openRows(of: id)
            }
        }
    }

    /// Changes the book and resumes the tasks whose watch is complete.
    private func tell(_ change: (inout OutcomeBook) -> [UInt64]) {
        let ready = state.withLock { state in
            change(&state.book).flatMap { id -> [(Waiter, [ChangeOutcome])] in
                guard let outcomes = state.book.outcomes(of: id) else { return [] }
                return (state.waiters.removeValue(forKey: id) ?? []).map { ($0.waiter, outcomes) }
            }
        }
        for (waiter, outcomes) in ready { waiter.resume(returning: outcomes) }
    }

    // MARK: Waiting

    /// Returns when every edit of a watch has an outcome.
    ///
    /// - Throws: `SyncError.stopped` once nothing is running that could bring one;
    ///   `CancellationError`.
    func outcomes(of id: UInt64) async throws -> [ChangeOutcome] {
        let name = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { waiter in
                let result = state.withLock { state -> Result<[ChangeOutcome], any Error>? in
                    if let outcomes = state.book.outcomes(of: id) { return .success(outcomes) }
                    if Task.isCancelled { return .failure(CancellationError()) }
                    if state.workers == 0 { return .failure(SyncError.stopped) }
                    state.waiters[id, default: []].append((name, waiter))
                    return nil
                }
                if let result { waiter.resume(with: result) }
            }
        } onCancel: {
            let waiter = state.withLock { state -> Waiter? in
                guard let index = state.waiters[id]?.firstIndex(where: { $0.id == name }) else {
                    return nil
                }
                return state.waiters[id]?.remove(at: index).waiter
            }
            waiter?.resume(throwing: CancellationError())
        }
    }

    /// Whether anything is running that may bring outcomes.
    var isWorking: Bool { state.withLock { $0.workers > 0 } }

    /// Something starts that may bring outcomes.
    func began() { state.withLock { $0.workers += 1 } }

    /// It has ended. After the last one, all waiting tasks are resumed with an error.
    func ended() {
        let left = state.withLock { state -> [Waiter] in
            state.workers -= 1
            guard state.workers == 0 else { return [] }
            defer { state.waiters = [:] }
            return state.waiters.values.flatMap { $0.map(\.waiter) }
        }
        for waiter in left { waiter.resume(throwing: SyncError.stopped) }
    }
}
