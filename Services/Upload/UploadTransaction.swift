import Model
import Postgres
import RPC
import ServiceKit
import Sidecar
import Telemetry

/// One attempt at one upload on one connection.
///
/// The usual way takes two round trips: everything is read under the scope's lock, decided, and
/// written together with the commit. When PostgreSQL refuses a row, or a business row is not what
/// the sidecar says, the attempt is repeated with isolation: savepoints, and halves of the batch,
/// until each offending row is alone.
struct UploadTransaction {
    let connection: PostgresConnection
    let scopes: ScopeIDs
    let upload: QueuedUpload
    let batch: UploadBatch
    let statements: BusinessStatements
    let timeouts: UploadTimeouts
    /// An earlier attempt had the user's lock already: this one's wait is its own.
    let isRepeated: Bool
    /// The longest wait for the user's log; nil: as long as the upload may.
    let logWait: Duration?
    /// Earlier attempts could not look up these.
    let unreadable: UnreadableParents
    /// What ended the sessions of earlier attempts.
    let ends: SessionEnds
    let quotas: Quotas

    private var user: UserID { upload.user }
    var device: DeviceID { upload.device }
    var options: UploadOptions { upload.options }
    var deadline: ContinuousClock.Instant { upload.deadline }

    /// Writes everything in one go.
    ///
    /// - Throws: `PostgresError`; one that `RowRefusal` recognises asks for `isolating()`.
    func direct() async throws -> UploadResult {
        let log = try await read()
        let (scope, source, reading) = (log.scope, log.source, log.reading)
        var plan = newPlan(reading)
        let entries = plan.decide(batch.changes[...])
        if options.isAtomic, plan.hasUnapplied { return try await abandon(plan, log) }
        guard !entries.isEmpty else {
            // A long log is counted in steps; a rejected upload loses none of them.
            let counts = log.reading.usage?.isBehind ?? false
            return try await leave(plan, log, committing: counts || plan.acknowledgesEarlier)
        }
        var pipeline = Pipeline()
        pipeline.add(
            contentsOf: writes(entries, scope, source, expecting: .asRecorded) + constraintCheck
                + atomicRecord(scope, source, after: reading))
        let head = pipeline.add(UploadStatements.ReadHead(scope: scope))
        let shown = plan.ownSequencesShown
        let own = UploadStatements.ReadPayloads(scope: scope, sequences: shown)
        let stored = shown.isEmpty ? nil : pipeline.add(own)
        pipeline.add(UploadStatements.commit)
        let results = try await writeBatch(pipeline)
        if let stored { plan.show(try own.payloads(results[stored])) }
        return await result(plan, log, try results[head].one())
    }

    /// Finds the rows that PostgreSQL does not take and writes the others.
    ///
    /// - Throws: `PostgresError`, none that `RowRefusal` recognises.
    func isolating() async throws -> UploadResult {
        let log = try await read()
        let scope = log.scope
        var isolation = UploadIsolation(
            transaction: self, scope: scope, source: log.source, plan: newPlan(log.reading))
        try await isolation.run()
        if options.isAtomic, isolation.plan.hasUnapplied {
            return try await abandon(isolation.plan, log)
        }
        var plan = isolation.plan
        let shown = plan.ownSequencesShown
        if !shown.isEmpty {
            let own = UploadStatements.ReadPayloads(scope: scope, sequences: shown)
            plan.show(try own.payloads(try await connection.run(own, deadline: deadline)))
        }
        var pipeline = Pipeline()
        pipeline.add(
            contentsOf: isolation.failures
                + atomicRecord(scope, log.source, after: log.reading))
        let head = pipeline.add(UploadStatements.ReadHead(scope: scope))
        pipeline.add(UploadStatements.commit)
        let results = try await run(pipeline)
        var result = await result(plan, log, try results[head].one())
        result.blockedTables = isolation.blockedTables
        return result
    }

    /// Finds out which cause a row count that is too small has: the key is another user's, or a
    /// trigger left the row out, or a policy hides it.
    func attributed(
        _ refusal: RowRefusal, to change: Change, _ scope: NamedScope
    ) async throws -> RowRefusal {
        guard refusal.sqlState == nil else { return refusal }
        let table = batch.schema.tables[change.table].registered
        let missed = table.policies.mayHide ? RowRefusal.hidden : .leftOut
        guard let statement = statements.keyUse(change.table) else { return missed }
        var bindings = Bindings()
        bindings.bind(key: change.row.key)
        MaterializeStatement.bind(owner: scope, of: table, to: &bindings)
        let isOthers = try await connection.rows(
            Command(statement, bindings), of: Bool.self, deadline: deadline
        ).one()
        return isOthers ? refusal : missed
    }

    func newPlan(_ reading: UploadReading) -> UploadPlan {
        var plan = batch.plan(reading, device: device, quotas: quotas) { Timestamp.now() }
        unreadable.bar(&plan, in: batch.schema)
        return plan
    }

    /// An all-or-nothing upload that cannot be whole leaves nothing.
    private func abandon(_ plan: UploadPlan, _ log: OpenLog) async throws -> UploadResult {
        var plan = plan
        plan.abortApplied()
        return try await leave(plan, log)
    }

    /// Opens the transaction, locks and reads. Registers a user at the first upload, and a device.
    ///
    /// One round trip if the user's scope is remembered, two if it must be found first. If the
    /// remembered scope is no longer the user's, it is found again in the same transaction.
    private func read() async throws -> OpenLog {
        var pipeline = Pipeline()
        pipeline.add(UploadStatements.begin)
        pipeline.add(configuration)
        if batch.schema.catalog.hasDeferrableConstraints {
            pipeline.add(UploadStatements.deferConstraints)
        }
        let epoch = options.epoch.map { ($0, pipeline.add(UploadStatements.ReadEpoch())) }
        let remembered = scopes.scope(of: user)
        let tickets = remembered.map { request($0).add(to: &pipeline) }
        let found = remembered == nil ? pipeline.add(FindScope(user: user)) : nil
        let results = try await run(pipeline)
        var isOtherEpoch = false
        if let (expected, ticket) = epoch { isOtherEpoch = try results[ticket].one() != expected }
        if let remembered, let tickets {
            if let answer = try request(remembered).read(results, tickets) {
                return try await complete(remembered, answer, isOtherEpoch: isOtherEpoch)
            }
            scopes.forget(remembered)
        }
        var asked: Rows<ScopeID>?
        if let found { asked = try results[found] }
        let scope = try await findScope(asked)
        let answer = try await lock(scope)
        // Also one that this transaction makes: if it rolls back, the next one finds out.
        scopes.remember(scope)
        return try await complete(scope, answer, isOtherEpoch: isOtherEpoch)
    }

    /// The settings of the transaction.
    private var configuration: Command {
        let wait = isRepeated ? nil : upload.latestStart - .now
        var bindings = timeouts.bindings(
            scopeLock: wait, atMost: logWait, left: deadline - .now)
        guard batch.schema.hasPolicies else { return Command(UploadStatements.configure, bindings) }
        bindings.bind(PolicyClaims(user: user, device: device, roles: upload.roles).json)
        return Command(UploadStatements.configureWithClaims, bindings)
    }

    /// The user's scope as the database has it now; makes it for a new user.
    ///
    /// - Parameter asked: what `FindScope` has answered, if it was asked already.
    private func findScope(_ asked: Rows<ScopeID>?) async throws(PostgresError) -> NamedScope {
        let find = FindScope(user: user)
        var rows = asked
        if rows == nil { rows = try await connection.run(find, deadline: deadline) }
        if let id = try rows?.first() { return NamedScope(id: id, user: user) }
        var bindings = Bindings()
        bindings.bind(user.value)
        var pipeline = Pipeline()
        pipeline.add(Command(UserScope.create, bindings))
        let ticket = pipeline.add(find)
        let results = try await run(pipeline)
        guard let id = try results[ticket].first() else { throw scopeGone }
        return NamedScope(id: id, user: user)
    }

    /// A scope was removed just after it was found, as while a backup is put in place: the whole
    /// transaction is tried again.
    var scopeGone: PostgresError { PostgresError(.connectionLost) }

    /// Locks a scope and reads what the plan needs to know.
    private func lock(
        _ scope: NamedScope
    ) async throws(PostgresError) -> UploadReadingStatements.Answer {
        let request = request(scope)
        var pipeline = Pipeline()
        let tickets = request.add(to: &pipeline)
        guard let answer = try request.read(try await run(pipeline), tickets) else {
            throw scopeGone
        }
        return answer
    }

    /// What is read under the lock of a scope.
    ///
    /// - Parameters:
    ///   - read: changes whose rows and parents are read; nil: the upload's own.
    ///   - isFirst: no upload before it reads for it.
    func request(
        _ scope: NamedScope, rowsOf read: [Change]? = nil, isFirst: Bool = true
    ) -> UploadReadingStatements {
        UploadReadingStatements(
            scope: scope, device: device, pair: options.pair, changes: batch.changes,
            statements: statements, without: unreadable.foreignKeys, rowsOf: read,
            countsUsage: isFirst && quotas.concernRows)
    }

    /// Reads what the first answer leaves out, and registers a new device.
    ///
    /// - Throws: as `examine` does.
    private func complete(
        _ scope: NamedScope, _ answer: UploadReadingStatements.Answer, isOtherEpoch: Bool
    ) async throws -> OpenLog {
        let examined = try await examine(answer, of: scope, isOtherEpoch: isOtherEpoch)
        return OpenLog(
            scope: scope, source: try await source(examined.answer, in: scope),
            reading: examined.answer.reading, end: examined.answer.locked.end,
            hasHole: examined.hasHole)
    }

    /// Reads what the first answer leaves out, and judges whether the device may upload.
    ///
    /// - Throws: `RPCFailure` for a device that is revoked, or knows another history: nothing is
    ///   written.
    func examine(
        _ answer: UploadReadingStatements.Answer, of scope: NamedScope, isOtherEpoch: Bool
    ) async throws -> (answer: UploadReadingStatements.Answer, hasHole: Bool) {
        if answer.isRevoked { throw RPCFailure.deviceRevoked }
        if isOtherEpoch { throw RPCFailure.epochChanged }
        let hasHole = try await checkHistory(answer.locked, of: scope)
        var answer = answer
        try await readPayloads(request(scope), &answer)
        return (answer, hasHole)
    }

    /// Reads once more, inside the transaction.
    func readAgain(_ scope: NamedScope) async throws(PostgresError) -> UploadReading {
        var answer = try await lock(scope)
        try await readPayloads(request(scope), &answer)
        return answer.reading
    }

    /// Reads large rows that a conflict may have to show. Rarely needed, hence a round trip of its
    /// own.
    func readPayloads(
        _ request: UploadReadingStatements, _ answer: inout UploadReadingStatements.Answer
    ) async throws(PostgresError) {
        guard let statement = request.payloadStatement(answer) else { return }
        let rows = try await connection.run(statement, deadline: deadline)
        try request.readPayloads(rows, into: &answer)
    }

    /// Writes inside a savepoint, constraints checked before it closes.
    ///
    /// - Parameters:
    ///   - time: how long each of its statements may take.
    ///   - lockTime: how long it may wait for rows that plain SQL holds.
    ///   - arrangement: the order of its writes.
    /// - Returns: the last sequence after it; nil if there was nothing to write.
    func attempt(
        _ entries: [LogEntry], _ scope: NamedScope, _ source: Int32, within time: Duration,
        lockTime: Duration, arrangement: WriteArrangement = .none
    ) async throws -> Sequence64? {
        guard !entries.isEmpty else { return nil }
        let rearm = constraintCheck.isEmpty ? [] : [Command(UploadStatements.deferConstraints)]
        var pipeline = Pipeline()
        pipeline.add(UploadStatements.savepoint)
        var writes = writes(entries, scope, source, expecting: .anything, arrangement)
        writes.insert(bounds(time, lockTime: lockTime), at: 1)
        pipeline.add(contentsOf: writes + constraintCheck + rearm)
        let head = pipeline.add(UploadStatements.ReadHead(scope: scope))
        pipeline.add(UploadStatements.releaseSavepoint)
        return try await run(pipeline)[head].one().sequence
    }

    /// The time of the statements that follow, until the savepoint around them is rolled back.
    func bounds(_ time: Duration, lockTime: Duration) -> Command {
        var bindings = Bindings()
        bindings.bind("\(time.milliseconds)")
        bindings.bind("\(lockTime.milliseconds)")
        return Command(UploadStatements.boundAttempt, bindings)
    }

    /// Takes back an attempt that failed.
    func takeBack() async throws(PostgresError) {
        try await run([
            Command(UploadStatements.rollbackToSavepoint),
            Command(UploadStatements.releaseSavepoint),
        ])
    }

    /// Runs the statement that writes a change, without any row.
    ///
    /// - Returns: the error that it meets all the same; nil if the table takes rows.
    func probe(
        _ change: Change, isCreation: Bool, _ scope: NamedScope, _ source: Int32
    ) async throws(PostgresError) -> PostgresError? {
        let write = batch.body.withBytes { bytes in
            WriteRequest(
                scope: scope, sources: .one(source), changes: batch.changes, entries: [],
                statements: statements, expected: .anything, body: bytes
            ).withoutRows(like: change, isCreation: isCreation)
        }
        do {
            try await run([
                Command(UploadStatements.savepoint), write,
                Command(UploadStatements.releaseSavepoint),
            ])
            return nil
        } catch {
            guard error.serverError != nil else { throw error }
            try await takeBack()
            return error
        }
    }

    /// Writes rows that were decided: first the settings that they are written with.
    func writes(
        _ entries: [LogEntry], _ scope: NamedScope, _ source: Int32,
        expecting rows: MaterializeStatement.Expectation,
        _ arrangement: WriteArrangement = .none
    ) -> [Command] {
        let commands = batch.body.withBytes { bytes in
            WriteRequest(
                scope: scope, sources: .one(source), changes: batch.changes, entries: entries,
                statements: statements, expected: rows, body: bytes, arrangement: arrangement
            ).commands
        }
        let unseen = UnseenColumns(of: entries.map { batch.changes[$0.change] }, in: batch.schema)
        // From here on this transaction holds the scope and meets locks of plain SQL, whose capture
        // waits for the scope. This transaction must step back first, before PostgreSQL reports a
        // deadlock.
        return [Command(UploadStatements.enterWrites, entering(entries, scope))] + commands
            + unseen.commands
    }

    func entering(_ entries: [LogEntry], _ scope: NamedScope) -> Bindings {
        var bindings = Bindings()
        bindings.bind("\(timeouts.businessLock)")
        bindings.bind("\(scope.id)")
        bindings.bind("\(entries.first?.sequence ?? 0)")
        bindings.bind("\(entries.last?.sequence ?? 0)")
        return bindings
    }

    /// Deferred constraints are forced here, so that COMMIT has nothing left to refuse.
    private var constraintCheck: [Command] {
        batch.schema.catalog.hasDeferrableConstraints
            ? [Command(UploadStatements.checkConstraints)] : []
    }

    /// Records a refused row for the operator.
    func failure(
        _ change: Change, _ version: RowVersion, _ state: SQLState, _ detail: String,
        _ scope: NamedScope, _ source: Int32
    ) -> Command {
        var bindings = Bindings()
        bindings.bind(scope.id)
        bindings.bind(change.row.table)
        change.row.key.withStoredBytes { bindings.bind(bytes: $0) }
        bindings.bind(version)
        bindings.bind(bytes: [change.operation.letter])
        bindings.bind(
            bytes: change.payload.map { range in batch.body.withBytes { Array($0[range]) } })
        bindings.bind(source)
        bindings.bind(change.id)
        bindings.bind(state.rawValue)
        bindings.bind(detail)
        bindings.bind(change.contentHash)
        if let roles = rolesForRetry { bindings.bind(roles) } else { bindings.bind(bytes: nil) }
        return Command(UploadStatements.recordFailure, bindings)
    }

    /// A retry tells the policies the same. A name that PostgreSQL cannot store is none that a
    /// policy compares.
    private var rolesForRetry: ArrayBinding? {
        guard batch.schema.hasPolicies else { return nil }
        var roles = ArrayBinding(of: .text, reserving: upload.roles.count)
        for role in upload.roles where !role.utf8.contains(0) { roles.append(role) }
        return roles
    }

    func run(_ commands: [Command]) async throws(PostgresError) {
        _ = try await connection.run(commands, deadline: deadline)
    }

    func run(_ pipeline: Pipeline) async throws(PostgresError) -> PipelineResults {
        try await connection.run(pipeline, deadline: deadline)
    }
}
