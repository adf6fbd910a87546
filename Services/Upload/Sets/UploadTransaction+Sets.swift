import Model
import Postgres
import Sidecar

/// The statements of sets that are written as a whole.
extension UploadTransaction {
    /// What PostgreSQL's error names; nil if it has gone, or is of a table that is not registered.
    func readIndex(
        _ violated: ViolatedIndex, for scope: NamedScope
    ) async throws(PostgresError) -> UniqueIndex? {
        let rows = try await connection.run(
            UploadStatements.ReadUniqueIndex(index: violated), deadline: deadline
        ).all()
        guard let first = rows.first, let table = batch.schema.table(first.table) else {
            return nil
        }
        return UniqueIndex(
            id: first.id, scope: scope, table: table, quotedName: first.quotedName,
            isImmediate: first.isImmediate, key: first.key, condition: first.condition,
            columns: rows.compactMap(\.column))
    }

    enum ParkingProbe {
        /// The rows are out of the way.
        case free
        /// Some stand where they stood, or where another one does.
        case inTheWay
        case refused(RowRefusal)
    }

    /// Tries whether a value can be parked, and takes it back.
    func probe(
        _ parked: WriteArrangement.Parked, _ index: UniqueIndex, _ entries: [LogEntry],
        _ scope: NamedScope, within time: Duration
    ) async throws -> ParkingProbe {
        let table = batch.schema.tables[parked.table].registered
        var pipeline = Pipeline()
        pipeline.add(UploadStatements.savepoint)
        pipeline.add(Command(UploadStatements.enterWrites, entering(entries, scope)))
        pipeline.add(bounds(time, lockTime: UploadIsolation.partLockTime))
        let before = IndexPlaces.add(index, parked.rows, in: batch.schema, to: &pipeline)
        pipeline.add(
            Command(
                ParkStatement.make(parked.option, of: table),
                ParkStatement.bindings(parked.rows.map(\.key), scope, of: table)))
        let after = IndexPlaces.add(index, parked.rows, in: batch.schema, to: &pipeline)
        do {
            let results = try await run(pipeline)
            let free = try IndexPlaces(index, parked.rows, results[before]).areLeft(
                parked.rows, in: IndexPlaces(index, parked.rows, results[after]))
            try await takeBack()
            return free ? .free : .inTheWay
        } catch {
            guard let refusal = RowRefusal(error, isAttempt: true) else { throw error }
            try await takeBack()
            return .refused(refusal)
        }
    }

    /// Takes back what a search has written.
    ///
    /// PostgreSQL keeps what SET CONSTRAINTS says in a savepoint that was released, even where the
    /// savepoint around it is rolled back.
    func takeBackSearch() async throws(PostgresError) {
        try await takeBack()
        if batch.schema.catalog.hasDeferrableConstraints {
            try await run([Command(UploadStatements.deferConstraints)])
        }
    }

    /// The beginning of an attempt: all but the business rows.
    func opening(
        _ entries: [LogEntry], _ scope: NamedScope, _ source: Int32,
        within time: Duration, lockTime: Duration
    ) -> [Command] {
        [
            Command(UploadStatements.enterWrites, entering(entries, scope)),
            bounds(time, lockTime: lockTime),
        ] + withRequest(entries, scope, source) { $0.sidecarCommands }
    }

    /// The business writes of an attempt, one by one.
    func steps(
        _ entries: [LogEntry], _ scope: NamedScope, _ source: Int32,
        _ arrangement: WriteArrangement
    ) -> [WriteRequest.Step] {
        withRequest(entries, scope, source, arrangement) { $0.steps(parkingDeferred: true) }
    }

    /// A statement with some of its rows, and the comparison that belongs to it: rows that a
    /// trigger moves to another key or owner are found by that alone.
    func commands(
        _ group: BusinessWrites.Group, with entries: ArraySlice<LogEntry>, _ scope: NamedScope,
        _ source: Int32
    ) -> [Command] {
        var part = group
        part.entries = Array(entries)
        return withRequest(part.entries, scope, source) { $0.commands(part) }
    }

    private func withRequest<Answer>(
        _ entries: [LogEntry], _ scope: NamedScope, _ source: Int32,
        _ arrangement: WriteArrangement = .none, _ body: (WriteRequest) -> Answer
    ) -> Answer {
        batch.body.withBytes { bytes in
            body(
                WriteRequest(
                    scope: scope, sources: .one(source), changes: batch.changes, entries: entries,
                    statements: statements, expected: .anything, body: bytes,
                    arrangement: arrangement))
        }
    }
}
