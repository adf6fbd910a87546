import Model
import Sidecar

/// Decides what becomes of each change of a batch, from a reading alone (decision D2).
///
/// A value: an attempt at writing keeps a copy and goes back to it when PostgreSQL refuses a row. It
/// sees each change with the effects of those before it, so chains on one row, parents in the same
/// batch and repeated change ids are judged as if each had come by itself.
package struct UploadPlan: Sendable {
    /// What became of each change, by its place in the request; nil while undecided.
    package private(set) var outcomes: [ChangeVerdict?]
    /// The last sequence given out.
    package private(set) var lastSequence: Sequence64
    /// Changes found in the log already.
    package private(set) var duplicates = 0

    /// It acknowledges changes of earlier uploads, and so ends with a commit: where their commits
    /// have given up the wait for synchronous standbys, this one waits until these have all before
    /// it.
    var acknowledgesEarlier: Bool { duplicates > 0 }

    /// Changes that the user's quotas had no room for, by their place in the request.
    private(set) var withoutRoom: Set<Int> = []

    /// How often a batch with cycles is decided again because some of them cannot be applied.
    /// Cycles that depend on each other may need one trial each. Cycles that are left after the
    /// last trial are refused for now, because their parents are missing.
    private static let maximumTrials = 16

    /// The last sequence before this batch.
    private let firstSequence: Sequence64
    private let schema: UploadSchema
    private let request: UploadRequest
    private var reading: UploadReading
    /// References that rows written by this batch satisfy.
    private var provided: Set<ParentReference> = []
    /// References that later changes of the batch are expected to satisfy, each with the position of
    /// that change.
    private var promised: [ParentReference: Int] = [:]
    /// The positions of changes that a decision rests on, though they are decided later.
    private var relied: Set<Int> = []
    /// What becomes of changes that would be applied, by table; under nil, of those of any table.
    private var bars: [Int?: Bar] = [:]
    /// What becomes of changes whose parents cannot be looked up, by foreign key.
    private var barredNeeds: [Int: Bar] = [:]
    /// The outcomes of changes that are not applied, by their place in the request.
    private var barredChanges: [Int: Bar] = [:]
    /// What each change must have room in; nil where the user's rows are not counted.
    private var quotas: Quotas?

    /// - Parameters:
    ///   - quotas: what the user may have; without a use in the reading they do not matter.
    ///   - count: changes in the request, well formed or not.
    package init(
        schema: UploadSchema, request: UploadRequest, reading: UploadReading,
        quotas: Quotas? = nil, count: Int
    ) {
        self.quotas = quotas
        self.schema = schema
        self.request = request
        self.reading = reading
        outcomes = Array(repeating: nil, count: count)
        lastSequence = reading.lastSequence
        firstSequence = reading.lastSequence
    }

    /// Decides the given changes in their order.
    ///
    /// First expects every row of a cycle to be applied, then decides again without the rows that
    /// were not: a cycle is applied wholly or not at all.
    ///
    /// - Returns: what must be written for those that are applied, in sequence order.
    package mutating func decide(_ changes: ArraySlice<Change>) -> [LogEntry] {
        decide(changes, at: changes.indices, RowCycles(changes, in: schema).promised)
    }

    /// Decides a stretch of a batch. A parent that a later change brings counts where the stretch
    /// has the first change of the batch that brings it, so that the answers do not depend on how
    /// the batch is parted.
    ///
    /// - Parameter cycles: of the whole batch.
    mutating func decide(_ changes: ArraySlice<Change>, of cycles: RowCycles) -> [LogEntry] {
        decide(
            changes, at: changes.indices,
            cycles.promised.filter { changes.indices.contains($0.value) })
    }

    /// Decides some changes of a batch, in its order, as `decide(_:of:)` does a stretch of it.
    mutating func decide(_ changes: [Change], at positions: [Int]) -> [LogEntry] {
        let isChosen = Set(positions)
        let promised = RowCycles(changes[...], in: schema).promised.filter {
            isChosen.contains($0.value)
        }
        return decide(changes[...], at: positions, promised)
    }

    private mutating func decide(
        _ changes: ArraySlice<Change>, at positions: some Collection<Int>,
        _ promises: [ParentReference: Int]
    ) -> [LogEntry] {
        guard let quotas, let usage = reading.usage else {
            return decideInCycles(changes, positions, promises)
        }
        // Deletes come last, and may free the room that upserts before them take.
        var trial = self
        trial.quotas = nil
        let entries = trial.decideInCycles(changes, positions, promises)
        guard let after = trial.reading.usage, quotas.allow(after, after: usage) else {
            return decideInCycles(changes, positions, promises)
        }
        trial.quotas = quotas
        self = trial
        return entries
    }

    private mutating func decideInCycles(
        _ changes: ArraySlice<Change>, _ positions: some Collection<Int>,
        _ promises: [ParentReference: Int]
    ) -> [LogEntry] {
        var promised = promises
        for _ in 0..<Self.maximumTrials where !promised.isEmpty {
            var trial = self
            trial.promised = promised
            let entries = trial.decideInOrder(changes, positions)
            let broken = trial.relied.subtracting(entries.map(\.change))
            if broken.isEmpty {
                trial.promised = [:]
                trial.relied = []
                self = trial
                return entries
            }
            promised = promised.filter { !broken.contains($0.value) }
        }
        return decideInOrder(changes, positions)
    }

    private mutating func decideInOrder(
        _ changes: ArraySlice<Change>, _ positions: some Collection<Int>
    ) -> [LogEntry] {
        var entries: [LogEntry] = []
        entries.reserveCapacity(positions.count)
        for position in positions {
            if let entry = decide(changes[position], at: position) { entries.append(entry) }
        }
        return entries
    }

    /// The outcome of a change that is not applied though nothing is wrong with it, by the version
    /// that it would have given its row.
    typealias Bar = @Sendable (Change, RowVersion) -> ChangeVerdict

    /// No further changes of a table are applied, nor of any table if it is nil: each gets this
    /// outcome instead. Repeats, conflicts and refusals are answered as ever.
    mutating func bar(_ table: Int?, with outcome: @escaping Bar) {
        bars[table] = outcome
    }

    /// A change is not applied, whatever PostgreSQL would say: it gets this outcome instead.
    mutating func bar(change index: Int, with outcome: @escaping Bar) {
        barredChanges[index] = outcome
    }

    /// The parents of a foreign key cannot be looked up: changes that point to one that the batch
    /// does not bring get this outcome.
    mutating func bar(needsOf foreignKey: Int, with outcome: @escaping Bar) {
        barredNeeds[foreignKey] = outcome
    }

    /// Gives a change its outcome without writing it: validation refuses it, or the business table.
    package mutating func conclude(_ index: Int, as outcome: ChangeVerdict) {
        outcomes[index] = outcome
    }

    /// Takes what was read after the changes decided so far were written.
    package mutating func learn(_ reading: UploadReading) {
        self.reading = reading
        lastSequence = reading.lastSequence
    }

    /// What the user has once all of this is written; nil where it is not counted.
    package var usage: Usage? { reading.usage }

    /// See ``UploadTable/mayStoreOtherwise``.
    func mayStoreOtherwise(_ table: TableName) -> Bool {
        schema.table(table).map { schema.tables[$0].mayStoreOtherwise } ?? false
    }

    /// Whether a change was refused for want of a parent.
    func isOrphan(_ change: Change) -> Bool {
        guard case .invalid(let rejection)? = outcomes[change.index] else { return false }
        return rejection.reason == .foreignKeyMissing
    }

    /// Whether a change is applied.
    func isApplied(_ change: Change) -> Bool {
        if case .applied? = outcomes[change.index] { true } else { false }
    }

    /// Whether some change is decided and not applied.
    package var hasUnapplied: Bool {
        outcomes.contains { outcome in
            if case .applied = outcome { false } else { true }
        }
    }

    /// Nothing of an all-or-nothing upload was kept: what would have been applied is not.
    package mutating func abortApplied() {
        lastSequence = firstSequence
        for index in outcomes.indices {
            if case .applied = outcomes[index] { outcomes[index] = .aborted }
        }
    }

    private mutating func decide(_ change: Change, at position: Int) -> LogEntry? {
        if let known = reading.known[change.id] {
            if let repeated = known.first(where: { $0.contentHash == change.contentHash }) {
                duplicates += 1
                outcomes[change.index] = .applied(version: repeated.version)
                return nil
            }
            // Another edit under a used id. It succeeds that id's edit if the row has not changed since.
            if let row = reading.rows[change.row],
                known.contains(where: { $0.sequence == row.sequence })
            {
                return judge(change, at: position, base: row.version)
            }
        }
        return judge(change, at: position, base: change.base)
    }

    private mutating func judge(_ change: Change, at position: Int, base: RowVersion) -> LogEntry? {
        let absent = change.needs.filter {
            !provided.contains($0) && !reading.parents.contains($0) && !isOwn($0, change)
        }
        let providers = absent.map { promised[$0].flatMap { $0 > position ? $0 : nil } }
        let missing = zip(absent, providers).filter { $1 == nil }.map(\.0)
        if let need = missing.first(where: { barredNeeds[$0.foreignKey] != nil }),
            let bar = barredNeeds[need.foreignKey]
        {
            outcomes[change.index] = bar(change, change.attemptedVersion)
            return nil
        }
        if !missing.isEmpty {
            outcomes[change.index] = .invalid(.foreignKeyMissing(missing.map(label)))
            return nil
        }
        relied.formUnion(providers.compactMap(\.self))
        guard let row = reading.rows[change.row] else {
            if change.operation == .delete {
                // A delete that was lost leaves its mark, for devices that still have the row.
                if change.lost > 0 {
                    return apply(change, at: position, version: change.lost, isCreation: true)
                }
                outcomes[change.index] = .applied(version: nil)
                return nil
            }
            if base != 0 {
                let table = schema.tables[change.table].registered.name
                outcomes[change.index] = .invalid(.rowMissing(table, change.row.key))
                return nil
            }
            return apply(
                change, at: position, version: max(1, change.lost), isCreation: true)
        }
        guard row.version == base else {
            outcomes[change.index] = .conflict(serverRow(row, of: change))
            return nil
        }
        return apply(
            change, at: position, version: max(base + 1, change.lost), isCreation: row.isDeleted)
    }

    private mutating func apply(
        _ change: Change, at position: Int, version: RowVersion, isCreation: Bool
    ) -> LogEntry? {
        withoutRoom.remove(change.index)
        if let bar = bar(of: change) {
            outcomes[change.index] = bar(change, version)
            return nil
        }
        let use = reading.usage?.adding(
            change, isWhole: schema.tables[change.table].isWhole(change),
            to: reading.rows[change.row])
        guard hasRoom(for: change, version, use?.usage) else { return nil }
        lastSequence += 1
        outcomes[change.index] = .applied(version: version)
        let isFirst = reading.rows[change.row] == nil
        reading.rows[change.row] = RowFact(
            version: version, sequence: lastSequence, isDeleted: change.operation == .delete,
            writer: .batch(position), countedBytes: use?.rowBytes)
        reading.known[change.id, default: []].append(
            KnownChange(sequence: lastSequence, version: version, contentHash: change.contentHash))
        if change.operation != .delete { provided.formUnion(change.provides) }
        return LogEntry(
            change: position, sequence: lastSequence, version: version, isCreation: isCreation,
            isFirst: isFirst, time: reading.time)
    }

    /// Counts a change, or rejects it where the user's quotas have no room for it.
    ///
    /// - Parameter next: the use after it; nil where the user's rows are not counted.
    private mutating func hasRoom(
        for change: Change, _ version: RowVersion, _ next: Usage?
    ) -> Bool {
        guard let next, let usage = reading.usage else { return true }
        if let excess = quotas?.excess(next, after: usage) {
            outcomes[change.index] = Quotas.rejection(
                of: schema.tables[change.table].registered.name, version: version, excess)
            withoutRoom.insert(change.index)
            return false
        }
        reading.usage = next
        return true
    }

    private func bar(of change: Change) -> Bar? {
        if bars.isEmpty, barredChanges.isEmpty { return nil }
        return barredChanges[change.index] ?? bars[change.table] ?? bars[nil]
    }

    /// A row may point to itself.
    private func isOwn(_ reference: ParentReference, _ change: Change) -> Bool {
        change.provides.contains(reference)
    }

    /// The parent that is not there, as the wire names it: `schema.table:value`.
    private func label(_ reference: ParentReference) -> String {
        let parent = schema.foreignKeys[reference.foreignKey].key.parent
        return "\(parent):\(reference.values.map(\.text).joined(separator: ","))"
    }

    private mutating func serverRow(_ row: RowFact, of change: Change) -> ServerRow {
        let table = schema.tables[change.table].registered.name
        let writer: StoredWriter?
        switch row.writer {
        case .stored(let stored): writer = stored
        case .batch(let position):
            writer = request.writer(position)
            // Kept, so that its payload is copied from the request once, however many changes
            // conflict with it.
            reading.rows[change.row] = RowFact(
                version: row.version, sequence: row.sequence, isDeleted: row.isDeleted,
                writer: .stored(writer), countedBytes: row.countedBytes)
        }
        return ServerRow(
            table: table, key: change.row.key, version: row.version, isDeleted: row.isDeleted,
            payload: row.isDeleted ? nil : writer?.payload, device: writer?.device ?? "",
            changeID: writer?.changeID ?? 0, timestamp: writer?.timestamp ?? "",
            ownSequence: row.sequence > firstSequence ? row.sequence : nil)
    }
}

/// What the plan must know about the request in addition to its changes.
package struct UploadRequest: Sendable {
    /// The writer that a change of this batch is, should a later one conflict with it.
    package let writer: @Sendable (_ position: Int) -> StoredWriter?

    package init(writer: @escaping @Sendable (_ position: Int) -> StoredWriter?) {
        self.writer = writer
    }
}

/// An applied change that must be written.
package struct LogEntry: Hashable, Sendable {
    /// Index of the change among those given to `decide`.
    package let change: Int
    package let sequence: Sequence64
    package let version: RowVersion
    /// The row was not there before: its business row is inserted, not updated.
    package let isCreation: Bool
    /// The log knew nothing of the row, not even that it was deleted.
    package let isFirst: Bool
    /// In microseconds since 2000.
    package let time: Int64
}
