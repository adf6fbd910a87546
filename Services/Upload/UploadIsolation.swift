import Model
import Postgres
import Sidecar

/// Finds the rows of a batch that PostgreSQL does not take, and writes the others.
///
/// ```
/// 8 rows, the 6th is refused    1-8 no   1-4 yes   5-8 no   5-6 no   5 yes   6 refused   7-8 yes
/// ```
///
/// Each attempt is a savepoint with a part of the batch: what fails is taken back and split in two.
/// The time of an attempt is a share of what is left of the request, so that the answer comes in
/// time: a row that is too slow, or locked, is postponed, and so are the rows that no time is left
/// for. A table that takes no rows at all is tried once more without any, and then no more.
struct UploadIsolation {
    /// Kept of the request's time for the commit and the answer.
    private static let reserve: Duration = .seconds(1)
    /// The shortest time of a statement that is worth an attempt.
    static let leastTime: Duration = .milliseconds(100)
    /// How long parts of the batch wait for locked rows: the whole of it has waited already.
    static let partLockTime: Duration = .milliseconds(20)
    /// The longest search for locked rows. The transaction that holds them may wait for this user's
    /// log, which the search keeps locked: the upload must release it before PostgreSQL reports a
    /// deadlock (after `deadlock_timeout`, one second) and ends the other transaction.
    static let lockWindow: Duration = .milliseconds(500)

    let transaction: UploadTransaction
    let scope: NamedScope
    let source: Int32
    private(set) var plan: UploadPlan
    /// What records the refused rows.
    private(set) var failures: [Command] = []
    /// Tables that took no rows at all, by their place in the schema, and why.
    private var blocked: [Int: RowRefusal] = [:]
    /// Changes whose rows were refused or postponed by themselves, by their place in the request.
    private var concluded: Set<Int> = []
    /// Parts of the batch that are not decided, the next one last.
    private var waiting: [Range<Int>]
    private let cycles: RowCycles
    /// Why a cycle could not be written, by where it begins.
    private var broken: [Int: RowRefusal] = [:]
    /// The first refusal because of a lock, and when it came.
    private var locked: (refusal: RowRefusal, since: ContinuousClock.Instant)?
    private let end: ContinuousClock.Instant
    /// Indexes whose values cannot be exchanged.
    private var unparkable: Set<ViolatedIndex> = []
    /// How often changes that only fit together are still looked for: no more once none were found.
    private var setsLeft = 8
    /// Whether they are looked for at this moment.
    private var isSearchingSets = false
    /// The part of what is left of the request's time that this may take.
    private static let shareOfSets = 0.5

    init(
        transaction: UploadTransaction, scope: NamedScope, source: Int32, plan: UploadPlan
    ) {
        self.transaction = transaction
        self.scope = scope
        self.source = source
        self.plan = plan
        let batch = transaction.batch
        let ends = transaction.ends
        waiting = ends.parts(of: batch.changes.count).reversed()
        if !ends.allowsSets { setsLeft = 0 }
        for (position, change) in batch.changes.enumerated() {
            guard
                let refusal = Self.refusalOfNull(change, batch.schema)
                    ?? ends.refusal(at: position)
            else { continue }
            let table = batch.schema.tables[change.table].registered.name
            self.plan.bar(change: change.index) { change, version in
                refusal.outcome(of: change, version: version, in: table)
            }
        }
        for table in batch.schema.gone.intersection(batch.changes.map(\.table)) {
            let name = batch.schema.tables[table].registered.name
            blocked[table] = .gone
            self.plan.bar(table) { RowRefusal.gone.outcome(of: $0, version: $1, in: name) }
        }
        cycles = RowCycles(batch.changes[...], in: batch.schema)
        end = transaction.upload.deadline - Self.reserve
    }

    var blockedTables: [TableName: SQLState] {
        var states: [TableName: SQLState] = [:]
        states.merge(transaction.unreadable.tables(in: schema)) { first, _ in first }
        for (table, refusal) in blocked {
            states[schema.tables[table].registered.name] = refusal.sqlState
        }
        return states
    }

    private var schema: UploadSchema { transaction.batch.schema }
    private var changes: [Change] { transaction.batch.changes }

    /// Decides every change, and writes those that PostgreSQL takes.
    ///
    /// - Throws: `PostgresError` for trouble of the server's.
    mutating func run() async throws {
        try await decideWaiting()
        // Deletes come last, and free room that upserts of another part lacked.
        let hasDeleted = changes.contains { $0.operation == .delete && plan.isApplied($0) }
        if hasDeleted, !plan.withoutRoom.isEmpty {
            let open = changes.indices.filter {
                !plan.isApplied(changes[$0]) && !concluded.contains(changes[$0].index)
            }
            waiting = open.stretches.reversed()
            try await decideWaiting()
        }
        for (position, change) in changes.enumerated()
        where !concluded.contains(change.index) && !plan.withoutRoom.contains(change.index) {
            guard
                let refusal = Self.refusalOfNull(change, schema)
                    ?? transaction.ends.refusal(at: position) ?? blocked[change.table]
                    ?? transaction.unreadable.refusal(of: change),
                case .materializeError(let version, _)? = plan.outcomes[change.index]
            else { continue }
            record(change, version, refusal)
        }
    }

    private mutating func decideWaiting() async throws {
        while let range = waiting.popLast() {
            let left = end - .now
            if left < Self.leastTime {
                postpone(range, because: .outOfTime)
            } else if let (refusal, since) = locked, .now - since > Self.lockWindow {
                postpone(range, because: refusal)
            } else {
                try await decideOrEnd(range, within: left)
            }
        }
    }

    /// Why a row is refused before PostgreSQL is asked. PostgreSQL may write the whole row into its
    /// log, and finding the row among others takes several statements.
    private static func refusalOfNull(_ change: Change, _ schema: UploadSchema) -> RowRefusal? {
        change.refusedNull.map {
            .null(in: schema.tables[change.table].registered.columns[$0].name)
        }
    }

    /// - Throws: `SessionEnd` if the session ends with it.
    private mutating func decideOrEnd(_ range: Range<Int>, within left: Duration) async throws {
        do {
            try await decide(range, within: left)
        } catch let error as PostgresError where error.endsSession {
            throw SessionEnd(
                range: range, tables: changes[range].map(\.table),
                middle: cycles.middle(of: range), isOfSets: isSearchingSets)
        }
    }

    private mutating func decide(_ range: Range<Int>, within left: Duration) async throws {
        var trial = plan
        let entries = trial.decide(changes[range], of: cycles)
        do {
            let head = try await transaction.attempt(
                entries, scope, source,
                within: Self.statementTime(
                    for: range.count, of: left, within: transaction.timeouts),
                lockTime: range.count == changes.count
                    ? .milliseconds(transaction.timeouts.businessLock)
                    : min(.milliseconds(transaction.timeouts.businessLock), Self.partLockTime))
            plan = trial
            if let head, head != plan.lastSequence {
                // The writes caused others, which may concern rows that are still to be judged.
                plan.learn(try await transaction.readAgain(scope))
            }
            refuseOrphansOfCycles(in: range)
        } catch let error as PostgresError {
            guard let refusal = RowRefusal(error, isAttempt: true) else { throw error }
            try await transaction.takeBack()
            if refusal.isOfLock, locked == nil { locked = (refusal, .now) }
            if let violated = refusal.violated,
                try await writeSets(from: range, because: violated, within: left)
            {
                return
            }
            if range.count > 1 {
                part(range, because: refusal)
            } else if let entry = entries.first {
                try await refuse(entry, because: refusal)
            }
        }
    }

    /// Halves of halves down to one row, each with the time of its statements, must fit into what
    /// is left; and so must as many again, for a second row that is too slow.
    static func statementTime(
        for count: Int, of left: Duration, within timeouts: UploadTimeouts
    ) -> Duration {
        let levels = count.bitWidth - count.leadingZeroBitCount
        let share = left / (2 * max(1, levels))
        return max(leastTime, min(share, .milliseconds(timeouts.statement)))
    }

    /// Another row is in the way, perhaps one that a later change moves: halves would part the two.
    /// So whatever is not applied yet is tried together, before any of it is refused.
    ///
    /// - Returns: whether something was written; the rest waits to be decided.
    private mutating func writeSets(
        from range: Range<Int>, because violated: ViolatedIndex, within left: Duration
    ) async throws -> Bool {
        let positions = Array(range) + waiting.reversed().flatMap(Array.init)
        guard setsLeft > 0, positions.count > 1 else { return false }
        setsLeft -= 1
        isSearchingSets = true
        var sets = UniqueSets(
            transaction: transaction, scope: scope, source: source,
            until: .now + left * Self.shareOfSets)
        let written = try await sets.write(positions, plan, because: violated)
        isSearchingSets = false
        if locked == nil { locked = sets.locked }
        unparkable.formUnion(sets.unparkable)
        guard let written else {
            setsLeft = 0
            return false
        }
        plan = written.plan
        if let head = written.head, head != plan.lastSequence {
            plan.learn(try await transaction.readAgain(scope))
        }
        let rest = positions.filter { !plan.isApplied(changes[$0]) }
        waiting = rest.stretches.reversed()
        return true
    }

    private mutating func part(_ range: Range<Int>, because refusal: RowRefusal) {
        let middle = cycles.middle(of: range)
        waiting += [middle..<range.upperBound, range.lowerBound..<middle]
        if let span = cycles.span(of: range.lowerBound),
            span.lowerBound <= range.lowerBound, range.upperBound <= span.upperBound,
            refusal.sqlState != nil
        {
            broken[span.lowerBound] = refusal
        }
    }

    private mutating func refuse(_ entry: LogEntry, because refusal: RowRefusal) async throws {
        let change = changes[entry.change]
        // Who is in the way may be a locked row that is about to move: the set is sent again.
        if refusal.violated != nil, let lock = locked?.refusal {
            return conclude(change, entry.version, lock)
        }
        var refusal = try await transaction.attributed(refusal, to: change, scope)
        if let violated = refusal.violated, unparkable.contains(violated) {
            refusal.advice = RowRefusal.exchangeAdvice
        }
        if refusal.isOfWholeTable { return block(entry, refusal) }
        if refusal.mayConcernTable {
            let error = try await transaction.probe(
                change, isCreation: entry.isCreation, scope, source)
            if let error, error.sqlState == refusal.sqlState { return block(entry, refusal) }
        }
        conclude(change, entry.version, refusal)
    }

    /// No row of the table is tried any more: each gets the answer that this one gets.
    private mutating func block(_ entry: LogEntry, _ refusal: RowRefusal) {
        let table = changes[entry.change].table
        let name = schema.tables[table].registered.name
        blocked[table] = refusal
        plan.bar(table) { refusal.outcome(of: $0, version: $1, in: name) }
        _ = plan.decide(changes[entry.change...entry.change], of: cycles)
    }

    /// Nothing more is applied: what would be is to be sent again.
    private mutating func postpone(_ range: Range<Int>, because refusal: RowRefusal) {
        plan.bar(nil) { [schema] change, version in
            refusal.outcome(
                of: change, version: version, in: schema.tables[change.table].registered.name)
        }
        _ = plan.decide(changes[range], of: cycles)
    }

    /// Rows that lack a parent which PostgreSQL refused with them: that is what is wrong.
    private mutating func refuseOrphansOfCycles(in range: Range<Int>) {
        for position in range where !broken.isEmpty {
            let change = changes[position]
            guard plan.isOrphan(change),
                let span = cycles.span(neededBy: change, at: position),
                let refusal = broken[span.lowerBound]
            else { continue }
            conclude(change, change.attemptedVersion, refusal)
        }
    }

    private mutating func conclude(
        _ change: Change, _ version: RowVersion, _ refusal: RowRefusal
    ) {
        let table = schema.tables[change.table].registered
        let converted = table.columns.indices.filter(change.converted.contains)
        plan.conclude(
            change.index,
            as: refusal.outcome(
                of: change, version: version, in: table.name,
                converting: converted.map { table.columns[$0] }))
        concluded.insert(change.index)
        record(change, version, refusal)
    }

    /// Records a refused row for the operator. Nothing has to be done for one that is postponed.
    private mutating func record(
        _ change: Change, _ version: RowVersion, _ refusal: RowRefusal
    ) {
        guard let state = refusal.sqlState, !refusal.isPostponed else { return }
        // A retry takes the version below as its base; a lost version says nothing about that.
        let version = change.lost > 0 ? change.attemptedVersion : version
        failures.append(
            transaction.failure(change, version, state, refusal.detail, scope, source))
    }
}

extension [Int] {
    /// Ascending numbers as stretches without gaps.
    fileprivate var stretches: [Range<Int>] {
        reduce(into: []) { stretches, number in
            if let last = stretches.last, last.upperBound == number {
                stretches[stretches.count - 1] = last.lowerBound..<number + 1
            } else {
                stretches.append(number..<number + 1)
            }
        }
    }
}
