import Model
import Postgres
import Sidecar

/// The first round trip of an upload: opens the transaction, locks the user's scope and reads all
/// that the plan needs to know.
struct UploadReadingStatements {
    /// What came back, the reading itself included.
    struct Answer {
        /// Nil for a device that never uploaded.
        var source: Int32?
        var isRevoked = false
        var reading = UploadReading()
        let locked: LockedScope
        /// Rows whose payloads are still to be read: `payloadStatement`.
        var withoutPayload: [RowID] = []
    }

    let scope: NamedScope
    let device: DeviceID
    /// What the device knows of this history, if it sent a pair.
    let pair: HistoryPair?
    let changes: [Change]
    /// Those whose rows and parents are read: all of a part of a group with its first upload.
    private let read: [Change]
    let statements: BusinessStatements
    private let references: [(foreignKey: Int, values: [ParentReference])]
    private let countsUsage: Bool

    /// - Parameter countsUsage: whether the user's rows are counted.
    init(
        scope: NamedScope, device: DeviceID, pair: HistoryPair?, changes: [Change],
        statements: BusinessStatements, without unreadable: Set<Int> = [],
        rowsOf read: [Change]? = nil, countsUsage: Bool = false
    ) {
        self.countsUsage = countsUsage
        self.scope = scope
        self.device = device
        self.pair = pair
        self.changes = changes
        let read = read ?? changes
        self.read = read
        self.statements = statements
        var seen: Set<ParentReference> = []
        var byKey: [Int: [ParentReference]] = [:]
        for reference in read.lazy.flatMap(\.needs)
        where seen.insert(reference).inserted && !unreadable.contains(reference.foreignKey) {
            byKey[reference.foreignKey, default: []].append(reference)
        }
        references = byKey.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    /// Where the answers of one sending are.
    struct Tickets {
        fileprivate let scope: Ticket<LockedScope>
        fileprivate let source: Ticket<UploadStatements.ReadSource.Row>
        fileprivate let known: Ticket<UploadStatements.ReadKnownChanges.Row>
        /// Nil if there are none.
        fileprivate let rows: Ticket<UploadStatements.ReadRowStates.Row>?
        /// For each foreign key: the places, from 1, of the parents that exist.
        fileprivate var parents: [Ticket<Int64>] = []
        /// Nil where the user's rows are not counted.
        fileprivate var usage: Ticket<Usage>?
    }

    /// Adds the lock and the reads; `BEGIN` and the timeouts go before them.
    ///
    /// - Parameter bounds: what goes between the two, after the count, which has a bound of its
    ///   own: changes that are not of these uploads may be many.
    func add(to pipeline: inout Pipeline, bounds: [Command] = []) -> Tickets {
        let lock =
            if let pair {
                pipeline.add(
                    UploadStatements.LockScopeOfPair(scope: scope, sequence: pair.sequence))
            } else {
                pipeline.add(UploadStatements.LockScope(scope: scope))
            }
        // In front of the rows, which tell what each counts with.
        let usage =
            countsUsage ? pipeline.add(UploadStatements.CountUsage(scope: scope)) : nil
        pipeline.add(contentsOf: bounds)
        var tickets = Tickets(
            scope: lock,
            source: pipeline.add(UploadStatements.ReadSource(scope: scope, device: device)),
            known: pipeline.add(
                UploadStatements.ReadKnownChanges(scope: scope, device: device, changes: changes)),
            rows: read.isEmpty
                ? nil : pipeline.add(UploadStatements.ReadRowStates(scope: scope, changes: read)))
        tickets.usage = usage
        for (index, values) in references {
            let foreignKey = statements.schema.foreignKeys[index]
            let command = Command(
                statements.parents(index),
                ParentStatement.bindings(scope, foreignKey, values, in: statements.schema))
            tickets.parents.append(pipeline.add(command, of: Int64.self))
        }
        return tickets
    }

    /// Reads the answers of what `add(to:)` added.
    ///
    /// - Returns: nil if the scope is not the user's: nothing was locked, and nothing read.
    func read(
        _ results: PipelineResults, _ tickets: Tickets
    ) throws(PostgresError) -> Answer? {
        guard let locked = try results[tickets.scope].first() else { return nil }
        var answer = Answer(locked: locked)
        answer.reading.lastSequence = try continued(locked.end.head, "last_seq")
        answer.reading.time = locked.time.microsecondsSince2000
        if let (source, isRevoked) = try results[tickets.source].first() {
            answer.source = source
            answer.isRevoked = isRevoked
        }
        var known = try results[tickets.known]
        while let (id, change) = try known.next() {
            answer.reading.known[id, default: []].append(change)
        }
        if let usage = tickets.usage {
            answer.reading.usage = try results[usage].first() ?? Usage()
        }
        if let rows = tickets.rows { try readRows(results[rows], into: &answer) }
        for (entry, ticket) in zip(references, tickets.parents) {
            var places = try results[ticket]
            while let place = try places.next() {
                answer.reading.parents.insert(entry.values[Int(place) - 1])
            }
        }
        return answer
    }

    /// The highest sequence and version that an upload can continue from. Only SQL written manually
    /// brings one so high.
    private static let highestNumber = Int64.max - Int64(WireLimits.answeredChanges)

    /// A sequence or version, which the plan counts on from.
    private func continued(
        _ number: Int64, _ column: String
    ) throws(PostgresError) -> Int64 {
        guard number <= Self.highestNumber else {
            throw PostgresError(.decoding("\(column) \(number): no number can follow it"))
        }
        return number
    }

    private func readRows(
        _ rows: Rows<UploadStatements.ReadRowStates.Row>, into answer: inout Answer
    ) throws(PostgresError) {
        defer { withExtendedLifetime(rows) {} }
        var rows = rows
        while let row = try rows.next() {
            let change = read[Int(row.place) - 1]
            // Read for another change too, with its writer.
            if case .stored(.some)? = answer.reading.rows[change.row]?.writer { continue }
            var writer: StoredWriter?
            if let stored = row.writer {
                writer = StoredWriter(
                    payload: stored.payload.map(Array.init), device: stored.device ?? "",
                    changeID: stored.changeID, timestamp: timestampFromPostgres(stored.time))
                if stored.payload == nil, !row.isDeleted {
                    answer.withoutPayload.append(change.row)
                }
            } else if answer.reading.rows[change.row] != nil {
                // The row was read for another change too; keep the reading that has its writer.
                continue
            }
            answer.reading.rows[change.row] = RowFact(
                version: try continued(row.version, "version"), sequence: row.sequence,
                isDeleted: row.isDeleted, writer: .stored(writer),
                countedBytes: row.countedBytes)
        }
    }

    /// Reads the payloads that did not come with their rows; nil if all did.
    func payloadStatement(_ answer: Answer) -> UploadStatements.ReadPayloads? {
        guard !answer.withoutPayload.isEmpty else { return nil }
        return UploadStatements.ReadPayloads(
            scope: scope,
            sequences: answer.withoutPayload.map { answer.reading.rows[$0]?.sequence ?? 0 })
    }

    /// Takes the answer of `payloadStatement`. Rows that are not in it stay without a payload: the
    /// answer to the device has no room for them.
    func readPayloads(
        _ rows: Rows<UploadStatements.ReadPayloads.Row>, into answer: inout Answer
    ) throws(PostgresError) {
        defer { withExtendedLifetime(rows) {} }
        var rows = rows
        while let row = try rows.next() {
            let id = answer.withoutPayload[Int(row.place) - 1]
            guard let fact = answer.reading.rows[id], case .stored(let writer?) = fact.writer else {
                continue
            }
            let whole = StoredWriter(
                payload: row.payload.map(Array.init), device: writer.device,
                changeID: writer.changeID, timestamp: writer.timestamp)
            answer.reading.rows[id] = RowFact(
                version: fact.version, sequence: fact.sequence, isDeleted: fact.isDeleted,
                writer: .stored(whole), countedBytes: fact.countedBytes)
        }
    }
}
