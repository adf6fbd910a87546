import Model
import Postgres
import Sidecar

/// Finds the rows that keep a set of changes from being written as a whole.
///
/// All of it is written inside a savepoint, with the values that are in each other's way parked, so
/// that a row fails only for what it is itself, and not for a neighbour that has not moved yet. Who
/// takes the place of a row that fails, in any index, fails with it. Then everything is taken back.
///
/// ```
/// a → 2, b → 3, c → 4, c is refused    a takes b's place, b takes c's: all three stay as they are
/// ```
struct SetSieve {
    enum Found {
        /// These rows; none if it is not a row's fault.
        case rows(Set<RowID>)
        /// An index that the arrangement does not know.
        case index(ViolatedIndex)
        /// A lock, for longer than an upload may wait.
        case lock
    }

    let transaction: UploadTransaction
    let scope: NamedScope
    let source: Int32
    let entries: [LogEntry]
    let arrangement: WriteArrangement
    /// Indexes that parking was tried for, whether it can be or not.
    let known: Set<ViolatedIndex>
    /// Of each statement.
    let time: Duration
    let end: ContinuousClock.Instant
    /// The first refusal of the upload because of a lock, and when it came.
    private(set) var locked: (refusal: RowRefusal, since: ContinuousClock.Instant)?

    private var bad: Set<RowID> = []

    init(
        transaction: UploadTransaction, scope: NamedScope, source: Int32, entries: [LogEntry],
        arrangement: WriteArrangement, known: Set<ViolatedIndex>, time: Duration,
        end: ContinuousClock.Instant,
        locked: (refusal: RowRefusal, since: ContinuousClock.Instant)?
    ) {
        self.transaction = transaction
        self.scope = scope
        self.source = source
        self.entries = entries
        self.arrangement = arrangement
        self.known = known
        self.time = time
        self.end = end
        self.locked = locked
    }

    private var changes: [Change] { transaction.batch.changes }
    private var schema: UploadSchema { transaction.batch.schema }

    mutating func run() async throws -> Found {
        try await transaction.run([Command(UploadStatements.savepoint)])
        let found = try await sift()
        try await transaction.takeBackSearch()
        return found
    }

    private mutating func sift() async throws -> Found {
        let before = try await places()
        let steps = transaction.steps(entries, scope, source, arrangement)
        let opening = transaction.opening(
            entries, scope, source, within: time,
            lockTime: UploadIsolation.partLockTime)
        if let refusal = try await refusal(of: opening) { return unexplained(refusal) }
        for step in steps {
            switch step {
            case .command(let command):
                if let refusal = try await refusal(of: [command]) { return unexplained(refusal) }
            case .rows(let group):
                if let ending = try await write(group) { return ending }
            }
        }
        let after = try await places()
        spread(zip(before, after).flatMap { $0.successions(in: $1) })
        return .rows(bad)
    }

    /// What cannot be blamed on a row: the set is left to the search that takes each by itself.
    private mutating func unexplained(_ refusal: RowRefusal) -> Found {
        if refusal.isOfLock, locked == nil { locked = (refusal, .now) }
        if let violated = refusal.violated, !known.contains(violated) { return .index(violated) }
        return .rows([])
    }

    /// Halves a statement's rows until each of those that it fails for is alone.
    private mutating func write(_ group: BusinessWrites.Group) async throws -> Found? {
        var waiting = [group.entries[...]]
        while let part = waiting.popLast() {
            guard end - .now > .zero else { return .rows([]) }
            let commands = transaction.commands(group, with: part, scope, source)
            guard let refusal = try await refusal(of: commands) else { continue }
            if let violated = refusal.violated, !known.contains(violated) {
                return .index(violated)
            }
            if refusal.isOfLock {
                let first = locked ?? (refusal, .now)
                locked = first
                if .now - first.since > UploadIsolation.lockWindow { return .lock }
            }
            if part.count == 1 || refusal.mayConcernTable || refusal.isOfWholeTable {
                bad.formUnion(part.map { changes[$0.change].row })
            } else {
                let middle = part.startIndex + part.count / 2
                waiting += [part[middle...], part[..<middle]]
            }
        }
        return nil
    }

    /// Runs commands inside a savepoint of their own.
    ///
    /// - Returns: why they fail, if it is for the rows.
    private func refusal(of commands: [Command]) async throws -> RowRefusal? {
        do {
            try await transaction.run(
                [Command(UploadStatements.savepoint)] + commands
                    + [Command(UploadStatements.releaseSavepoint)])
            return nil
        } catch {
            guard let refusal = RowRefusal(error, isAttempt: true) else { throw error }
            try await transaction.takeBack()
            return refusal
        }
    }

    private func places() async throws -> [IndexPlaces] {
        var pipeline = Pipeline()
        let indexes = arrangement.parkings.map(\.index)
        let rows = indexes.map { ParkableRows(entries, of: changes, in: $0).all }
        let tickets = zip(indexes, rows).map { index, rows in
            IndexPlaces.add(index, rows, in: schema, to: &pipeline)
        }
        guard !tickets.isEmpty else { return [] }
        let results = try await transaction.run(pipeline)
        var places: [IndexPlaces] = []
        for ((index, rows), ticket) in zip(zip(indexes, rows), tickets) {
            places.append(try IndexPlaces(index, rows, results[ticket]))
        }
        return places
    }

    /// A row that fails keeps its place, so the row that was to take it fails too.
    private mutating func spread(_ successions: [(row: RowID, holder: RowID)]) {
        var followers: [RowID: [RowID]] = [:]
        for (row, holder) in successions { followers[holder, default: []].append(row) }
        var next = Array(bad)
        while let holder = next.popLast() {
            for row in followers[holder] ?? [] where bad.insert(row).inserted { next.append(row) }
        }
    }
}
