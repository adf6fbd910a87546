import Model
import Postgres
import Sidecar

/// Writes changes that only fit together: rows that exchange unique values, chains of rows that
/// take each other's, a row that takes the value of one that is deleted.
///
/// First the deletes go before the upserts; if that is not enough, values are parked. What is bad
/// in itself is left out, with whatever needs a value that it keeps (``SetSieve``), and the rest is
/// tried again, as a whole.
struct UniqueSets {
    /// How often a set is tried: each trial knows an index more, or has fewer rows.
    private static let maximumTrials = 16

    struct Written {
        let plan: UploadPlan
        /// The last sequence after it; nil if there was nothing to write.
        let head: Sequence64?
    }

    let transaction: UploadTransaction
    let scope: NamedScope
    let source: Int32
    let end: ContinuousClock.Instant
    /// The first refusal because of a lock, and when it came.
    private(set) var locked: (refusal: RowRefusal, since: ContinuousClock.Instant)?

    private var arrangement = WriteArrangement(deletesFirst: true)
    private var known: Set<ViolatedIndex> = []
    private var indexes: Set<Int64> = []
    /// Indexes in which no other value can stand in for that of some row.
    private(set) var unparkable: Set<ViolatedIndex> = []
    /// For each such index a row that can stand aside alone.
    private var openers: [WriteArrangement.Parked] = []

    init(
        transaction: UploadTransaction, scope: NamedScope, source: Int32,
        until end: ContinuousClock.Instant
    ) {
        self.transaction = transaction
        self.scope = scope
        self.source = source
        self.end = end
    }

    private var changes: [Change] { transaction.batch.changes }
    private var schema: UploadSchema { transaction.batch.schema }

    /// Writes as many of the changes as fit together.
    ///
    /// - Parameters:
    ///   - positions: changes that are not applied, in their order.
    ///   - first: why they cannot be written in the usual order.
    /// - Returns: nil if none can be.
    mutating func write(
        _ positions: [Int], _ plan: UploadPlan, because first: ViolatedIndex
    ) async throws -> Written? {
        var set = positions
        var isDeletesOnly = true
        for _ in 0..<Self.maximumTrials {
            guard !set.isEmpty, let time = statementTime(set.count) else { return nil }
            var trial = plan
            let entries = trial.decide(changes, at: set)
            guard !entries.isEmpty else { return nil }
            if isDeletesOnly {
                isDeletesOnly = false
                let early = arrangement.earlyDeletes(entries, of: changes, in: schema)
                if early.isEmpty { try await learn(first, entries, time) }
            }
            guard let refusal = try await attempt(entries, time, &trial) else {
                return Written(plan: trial, head: head)
            }
            if try await learn(refusal.violated, entries, time) { continue }
            if try await writeInOrder(entries, time, &trial) {
                return Written(plan: trial, head: head)
            }
            switch try await sieve(entries, time) {
            case .index(let violated):
                // Another name of a known index, where a table has partitions.
                try await learn(violated, entries, time)
            case .rows(let bad):
                guard !bad.isEmpty else { return nil }
                let removed = bad.subtracting(rowsInOrder(set))
                let rows = removed.isEmpty ? bad : removed
                set.removeAll { rows.contains(changes[$0].row) }
            case .lock: return nil
            }
        }
        return nil
    }

    /// The rows of tables in which rows are written one by one. Statements for all of them at once
    /// fail, so the search says nothing of them while other tables have rows that are bad.
    private func rowsInOrder(_ set: [Int]) -> Set<RowID> {
        let tables = Set(openers.map(\.table))
        return Set(set.lazy.map { changes[$0] }.filter { tables.contains($0.table) }.map(\.row))
    }

    private var head: Sequence64?

    /// Tries to write the rows one by one, if too few values are free for all of them.
    private mutating func writeInOrder(
        _ entries: [LogEntry], _ time: Duration, _ trial: inout UploadPlan
    ) async throws -> Bool {
        let rows = Set(entries.map { changes[$0.change].row })
        guard !openers.isEmpty, openers.allSatisfy({ rows.isSuperset(of: $0.rows) }) else {
            return false
        }
        let usual = arrangement
        defer { arrangement = usual }
        arrangement.openers = openers
        arrangement.order = try await SetOrder(
            transaction: transaction, scope: scope, source: source, entries: entries,
            arrangement: arrangement, time: time, end: end
        ).find()
        guard arrangement.order != nil else { return false }
        return try await attempt(entries, time, &trial) == nil
    }

    private mutating func attempt(
        _ entries: [LogEntry], _ time: Duration, _ trial: inout UploadPlan
    ) async throws -> RowRefusal? {
        do {
            head = try await transaction.attempt(
                entries, scope, source, within: time,
                lockTime: UploadIsolation.partLockTime, arrangement: arrangement)
            return nil
        } catch let error as PostgresError {
            guard let refusal = RowRefusal(error, isAttempt: true) else { throw error }
            try await transaction.takeBack()
            if refusal.isOfLock, locked == nil { locked = (refusal, .now) }
            return refusal
        }
    }

    private mutating func sieve(
        _ entries: [LogEntry], _ time: Duration
    ) async throws -> SetSieve.Found {
        var sieve = SetSieve(
            transaction: transaction, scope: scope, source: source, entries: entries,
            arrangement: arrangement, known: known, time: time, end: end,
            locked: locked)
        defer { locked = sieve.locked }
        return try await sieve.run()
    }

    /// A set is written in one go, or searched in halves, several times perhaps.
    private func statementTime(_ count: Int) -> Duration? {
        let left = end - .now
        guard left > UploadIsolation.leastTime else { return nil }
        return UploadIsolation.statementTime(
            for: count, of: left, within: transaction.timeouts)
    }

    /// Finds out how the values of an index can be parked.
    ///
    /// - Returns: false if it was known before, or concerns no registered table.
    @discardableResult
    private mutating func learn(
        _ violated: ViolatedIndex?, _ entries: [LogEntry], _ time: Duration
    ) async throws -> Bool {
        guard let violated, known.insert(violated).inserted,
            let index = try await transaction.readIndex(violated, for: scope),
            indexes.insert(index.id).inserted
        else { return false }
        let early = arrangement.earlyDeletes(entries, of: changes, in: schema)
        let rest = entries.filter { !early.contains($0.change) }
        let rows = ParkableRows(rest, of: changes, in: index)
        var options: [ParkingOption] = []
        var left = rows.all
        for option in ParkingOption.all(for: index, of: schema.tables[index.table].registered) {
            let fitting = left.filter { rows.fits($0, option) }
            guard !fitting.isEmpty, end - .now > UploadIsolation.leastTime else { continue }
            let parked = WriteArrangement.Parked(option: option, table: index.table, rows: fitting)
            let probe = try await transaction.probe(parked, index, entries, scope, within: time)
            if case .refused(let refusal) = probe, refusal.isOfLock, locked == nil {
                locked = (refusal, .now)
            }
            guard case .free = probe else { continue }
            options.append(option)
            left.removeAll { rows.fits($0, option) }
        }
        if !left.isEmpty {
            unparkable.insert(violated)
            try await findOpener(left, rows, index, entries, time)
        }
        arrangement.parkings.append(
            WriteArrangement.Parking(index: index, options: options, isComplete: left.isEmpty))
        return true
    }

    /// Looks for a row that can stand aside alone, where there is no room for all.
    private mutating func findOpener(
        _ left: [RowID], _ rows: ParkableRows, _ index: UniqueIndex, _ entries: [LogEntry],
        _ time: Duration
    ) async throws {
        guard left.count <= SetOrder.maximumRows else { return }
        let table = schema.tables[index.table].registered
        for option in ParkingOption.all(for: index, of: table) {
            for row in left where rows.fits(row, option) {
                guard end - .now > UploadIsolation.leastTime else { return }
                let parked = WriteArrangement.Parked(
                    option: option, table: index.table, rows: [row])
                let probe = try await transaction.probe(parked, index, entries, scope, within: time)
                guard case .free = probe else { continue }
                return openers.append(parked)
            }
        }
    }
}
