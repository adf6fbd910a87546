import Model
import Postgres
import Sidecar

/// The first round trip of an upload: opens the transaction, locks the user's scope and reads all
/// that the plan needs to know.
struct UploadReadingStatements {
    /// What came back, the reading itself included.
    struct Answer {
        /// Nil for a user without a scope: it must be created before anything can be locked.
        var scope: Int64?
        /// Nil for a device that never uploaded.
        var source: Int32?
        var isRevoked = false
        var reading = UploadReading()
        /// Rows whose payloads are still to be read: `payloadCommand`.
        var withoutPayload: [RowID] = []
    }

    let user: UserID
    let device: DeviceID
    let changes: [Change]
    let statements: BusinessStatements
    private let references: [(foreignKey: Int, values: [ParentReference])]

    init(
        user: UserID, device: DeviceID, changes: [Change], statements: BusinessStatements
    ) {
        self.user = user
        self.device = device
        self.changes = changes
        self.statements = statements
        var seen: Set<ParentReference> = []
        var byKey: [Int: [ParentReference]] = [:]
        for reference in changes.lazy.flatMap(\.needs) where seen.insert(reference).inserted {
            byKey[reference.foreignKey, default: []].append(reference)
        }
        references = byKey.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    /// Lock and reads; `BEGIN` and the timeouts go before them.
    var commands: [Command] {
        var lock = Bindings()
        lock.bind(user.value)
        var source = lock
        source.bind(device.value)
        var commands = [
            Command(UploadStatements.lockScope, lock),
            Command(UploadStatements.readSource, source),
            Command(UploadStatements.readKnownChanges, knownBindings(source)),
            Command(UploadStatements.readRows, rowBindings(lock)),
        ]
        for (index, values) in references {
            let foreignKey = statements.schema.foreignKeys[index]
            commands.append(
                Command(
                    statements.parents(index),
                    ParentStatement.bindings(user: user.value, foreignKey, values)))
        }
        return commands
    }

    private func knownBindings(_ source: Bindings) -> Bindings {
        var bindings = source
        // Each once: a client may give all of its changes one id.
        let distinct = Set(changes.map(\.id))
        var ids = ArrayBinding(of: .int8, reserving: distinct.count)
        for id in distinct { ids.append(id) }
        var hashes = ArrayBinding(of: .int8, reserving: changes.count)
        var keys = ArrayBinding(of: .bytea, reserving: changes.count, bytes: changes.count * 20)
        for change in changes {
            hashes.append(change.contentHash)
            change.row.key.withStoredBytes { keys.append(bytes: $0) }
        }
        bindings.bind(ids)
        bindings.bind(hashes)
        bindings.bind(keys)
        return bindings
    }

    private func rowBindings(_ user: Bindings) -> Bindings {
        var bindings = user
        var tables = ArrayBinding(of: .int2, reserving: changes.count)
        var keys = ArrayBinding(of: .bytea, reserving: changes.count, bytes: changes.count * 20)
        var bases = ArrayBinding(of: .int8, reserving: changes.count)
        for change in changes {
            tables.append(change.row.table)
            change.row.key.withStoredBytes { keys.append(bytes: $0) }
            bases.append(change.base)
        }
        bindings.bind(tables)
        bindings.bind(keys)
        bindings.bind(bases)
        return bindings
    }

    /// Reads the results of `commands`.
    func read(_ results: ArraySlice<PostgresResult>) throws(PostgresError) -> Answer {
        var answer = Answer()
        let first = results.startIndex
        guard results[first].rowCount > 0 else { return answer }
        answer.scope = try results[first].int64(0, 0)
        answer.reading.lastSequence = try number(results[first], 0, 1)
        if results[first + 1].rowCount > 0 {
            answer.source = try results[first + 1].int32(0, 0)
            answer.isRevoked = try results[first + 1].bool(0, 1)
        }
        try readKnown(results[first + 2], into: &answer.reading)
        try readRows(results[first + 3], into: &answer)
        for (offset, entry) in references.enumerated() {
            let result = results[first + 4 + offset]
            for row in 0..<result.rowCount {
                answer.reading.parents.insert(entry.values[Int(try result.int64(row, 0)) - 1])
            }
        }
        return answer
    }

    /// The highest sequence and version that an upload can continue from. Only SQL written manually
    /// brings one so high.
    private static let highestNumber = Int64.max - Int64(WireLimits.answeredChanges)

    /// A sequence or version, which the plan counts on from.
    private func number(
        _ result: PostgresResult, _ row: Int, _ column: Int
    ) throws(PostgresError) -> Int64 {
        let number = try result.int64(row, column)
        guard number <= Self.highestNumber else {
            throw PostgresError(
                .decoding("\(result.columnName(column)) \(number): no number can follow it"))
        }
        return number
    }

    private func readKnown(_ result: PostgresResult, into reading: inout UploadReading)
        throws(PostgresError)
    {
        for row in 0..<result.rowCount {
            let known = KnownChange(
                sequence: try result.int64(row, 1), version: try result.int64(row, 2),
                contentHash: try result.int64(row, 3))
            reading.known[try result.int64(row, 0), default: []].append(known)
        }
    }

    private func readRows(_ result: PostgresResult, into answer: inout Answer)
        throws(PostgresError)
    {
        for row in 0..<result.rowCount {
            let change = changes[Int(try result.int64(row, 0)) - 1]
            // Read for another change too, with its writer.
            if case .stored(.some)? = answer.reading.rows[change.row]?.writer { continue }
            let isDeleted = try result.bool(row, 3)
            var writer: StoredWriter?
            if try result.bool(row, 4) {
                writer = StoredWriter(
                    payload: result.withBytes(row, 5) { $0.map(Array.init) },
                    device: try result.optionalString(row, 6) ?? "",
                    changeID: try result.int64(row, 7),
                    timestamp: timestampFromPostgres(try result.string(row, 8)))
                if writer?.payload == nil, !isDeleted { answer.withoutPayload.append(change.row) }
            } else if answer.reading.rows[change.row] != nil {
                // The row was read for another change too; keep the reading that has its writer.
                continue
            }
            answer.reading.rows[change.row] = RowFact(
                version: try number(result, row, 1), sequence: try result.int64(row, 2),
                isDeleted: isDeleted, writer: .stored(writer))
        }
    }

    /// Reads the payloads that did not come with their rows; nil if all did.
    func payloadCommand(_ answer: Answer) -> Command? {
        guard !answer.withoutPayload.isEmpty else { return nil }
        var sequences = ArrayBinding(of: .int8, reserving: answer.withoutPayload.count)
        for row in answer.withoutPayload {
            sequences.append(answer.reading.rows[row]?.sequence ?? 0)
        }
        var bindings = Bindings()
        bindings.bind(user.value)
        bindings.bind(sequences)
        return Command(UploadStatements.readPayloads, bindings)
    }

    /// Takes the answer of `payloadCommand`. Rows that are not in it stay without a payload: the
    /// answer to the device has no room for them.
    func readPayloads(_ result: PostgresResult, into answer: inout Answer) throws(PostgresError) {
        for row in 0..<result.rowCount {
            let id = answer.withoutPayload[Int(try result.int64(row, 0)) - 1]
            guard let fact = answer.reading.rows[id], case .stored(let writer?) = fact.writer else {
                continue
            }
            let whole = StoredWriter(
                payload: result.withBytes(row, 1) { $0.map(Array.init) }, device: writer.device,
                changeID: writer.changeID, timestamp: writer.timestamp)
            answer.reading.rows[id] = RowFact(
                version: fact.version, sequence: fact.sequence, isDeleted: fact.isDeleted,
                writer: .stored(whole))
        }
    }
}
