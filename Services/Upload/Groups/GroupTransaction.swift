import Model
import Postgres
import RPC
import ServiceKit
import Sidecar

/// One transaction of several uploads of one user, under one lock of the user's log.
///
/// They take effect in their order, each as if those before it had been committed. Uploads that do
/// not meet are read together and written in one round trip (``GroupParts``); the others follow
/// each other, and each is read after the writes of those before it:
///
/// ```
/// BEGIN, lock, read 1-3 | write 1-3, read 4 | write 4, read 5-6 | write 5-6, COMMIT
/// ```
///
/// There are no savepoints. Whatever PostgreSQL refuses, and whatever takes long, ends the
/// transaction: nothing of it is kept, and its uploads are written alone.
struct GroupTransaction {
    /// How long it waits for a row that plain SQL holds. The holder may itself wait for this user's
    /// log.
    private static let lockTime: Duration = .milliseconds(5)

    typealias Outcome = Result<UploadResult, any Error>

    let connection: PostgresConnection
    let scope: NamedScope
    /// In their order; of one user, and prepared for one schema.
    let members: [UploadTransaction]
    /// The longest wait for the user's log; nil: as long as its members may.
    private let logWait: Duration?
    /// The first deadline of all.
    private let deadline: ContinuousClock.Instant
    private var decisions: [Decision] = []
    private var pending = Pending()
    /// The transaction ends with a commit.
    private var commits = false

    /// What became of a member, once it is committed.
    private enum Decision {
        case refused(RPCFailure)
        case decided(UploadPlan, OpenLog, LogHead)
    }

    /// What the next round trip tells about the members that were decided last.
    private struct Pending {
        var heads: [(member: Int, ticket: Ticket<LogHead>)] = []
        var tags: [(member: Int, ticket: Ticket<TaggedChange>)] = []
        var payloads:
            [(
                member: Int, statement: UploadStatements.ReadPayloads,
                ticket: Ticket<UploadStatements.ReadPayloads.Row>
            )] = []
    }

    init(
        connection: PostgresConnection, scope: NamedScope, members: [UploadTransaction],
        logWait: Duration?
    ) {
        self.logWait = logWait
        self.connection = connection
        self.scope = scope
        self.members = members
        deadline = members.lazy.map(\.deadline).min() ?? .now
    }

    /// Writes all members.
    ///
    /// - Returns: what became of each: a device may be refused where the others are not.
    /// - Throws: nothing was kept, or the outcome of the commit is unknown.
    mutating func run() async throws -> [Outcome] {
        let parts = GroupParts(members.map { ($0.upload.device, $0.batch) }).parts
        var pipeline = Pipeline()
        let epoch = open(&pipeline)
        var isOtherEpoch: [Bool] = []
        for part in parts {
            let requests = requests(of: part)
            let tickets = zip(part, requests).map { member, request in
                request.add(to: &pipeline, bounds: member == 0 ? [bounds] : [])
            }
            let results = try await connection.run(pipeline, deadline: deadline)
            if part.lowerBound == 0 {
                let found = try epoch.map { try results[$0].one() }
                isOtherEpoch = members.map { $0.options.epoch != nil && $0.options.epoch != found }
            }
            try conclude(results)
            var answers = try zip(requests, tickets).map { request, tickets in
                guard let answer = try request.read(results, tickets) else {
                    // The scope is the user's no longer: each upload finds its own.
                    throw PostgresError(.connectionLost)
                }
                return answer
            }
            share(part, &answers)
            pipeline = Pipeline()
            try await decide(part, answers, isOtherEpoch, &pipeline)
        }
        pipeline.add(commits ? UploadStatements.commit : UploadStatements.rollback)
        try conclude(try await connection.run(pipeline, deadline: deadline))
        return await outcomes()
    }

    private var schema: UploadSchema { members[0].batch.schema }
    private var timeouts: UploadTimeouts { members[0].timeouts }

    /// Begins the transaction.
    ///
    /// - Returns: where the history's identity is read, if a device has named one.
    private func open(_ pipeline: inout Pipeline) -> Ticket<String>? {
        pipeline.add(UploadStatements.begin)
        let latestStart = members.lazy.map(\.upload.latestStart).min() ?? .now
        pipeline.add(
            Command(
                UploadStatements.configure,
                timeouts.bindings(
                    scopeLock: latestStart - .now, atMost: logWait, left: deadline - .now)))
        if schema.catalog.hasDeferrableConstraints {
            pipeline.add(UploadStatements.deferConstraints)
        }
        guard members.contains(where: { $0.options.epoch != nil }) else { return nil }
        return pipeline.add(UploadStatements.ReadEpoch())
    }

    /// What is read for the members of a part; rows and parents of all with the first.
    private func requests(of part: Range<Int>) -> [UploadReadingStatements] {
        guard part.count > 1 else { return part.map { members[$0].request(scope) } }
        let all = part.flatMap { members[$0].batch.changes }
        return part.map {
            members[$0].request(
                scope, rowsOf: $0 == part.lowerBound ? all : [], isFirst: $0 == part.lowerBound)
        }
    }

    /// Gives each member of a part what was read with the first, and all of them one time.
    private func share(_ part: Range<Int>, _ answers: inout [UploadReadingStatements.Answer]) {
        guard part.count > 1, let first = answers.first else { return }
        for (place, member) in part.enumerated() {
            answers[place].reading.rows = first.reading.rows
            answers[place].reading.parents = first.reading.parents
            answers[place].reading.time = first.reading.time
            answers[place].reading.usage = first.reading.usage
            if first.withoutPayload.isEmpty { continue }
            // Each answer has a limit of its own.
            let rows = Set(members[member].batch.changes.map(\.row))
            answers[place].withoutPayload = first.withoutPayload.filter(rows.contains)
        }
    }

    /// The time of each statement after the lock of the log and the count for quotas.
    private var bounds: Command {
        let changes = members.reduce(0) { $0 + $1.batch.count }
        return members[0].bounds(timeouts.group(of: changes), lockTime: Self.lockTime)
    }

    /// Takes what a round trip tells about the members that were written in it.
    private mutating func conclude(_ results: PipelineResults) throws(PostgresError) {
        for (member, ticket) in pending.heads { learn(try results[ticket].one(), member) }
        for (member, ticket) in pending.tags {
            guard let pair = try results[ticket].first()?.pair else { continue }
            learn(LogHead(sequence: pair.sequence, pair: pair), member)
        }
        for (member, statement, ticket) in pending.payloads {
            guard case .decided(var plan, let log, let head) = decisions[member] else { continue }
            plan.show(try statement.payloads(try results[ticket]))
            decisions[member] = .decided(plan, log, head)
        }
        pending = Pending()
    }

    private mutating func learn(_ head: LogHead, _ member: Int) {
        guard case .decided(let plan, let log, _) = decisions[member] else { return }
        decisions[member] = .decided(plan, log, head)
    }

    /// Decides the members of a part, one after the other, and adds what writes them.
    private mutating func decide(
        _ part: Range<Int>, _ answers: [UploadReadingStatements.Answer], _ isOtherEpoch: [Bool],
        _ pipeline: inout Pipeline
    ) async throws {
        var head: LogHead?
        var usage: Usage?
        var writes: [GroupWrite] = []
        for (member, answer) in zip(part, answers) {
            let transaction = members[member]
            let end = answer.locked.end
            let before = head ?? LogHead(sequence: end.head, pair: end.known(at: end.head))
            head = before
            do {
                let examined = try await transaction.examine(
                    answer, of: scope, isOtherEpoch: isOtherEpoch[member])
                var reading = examined.answer.reading
                reading.lastSequence = before.sequence
                reading.usage = usage ?? reading.usage
                var plan = transaction.newPlan(reading)
                let changes = transaction.batch.changes
                let entries = plan.decide(changes[...])
                var source = answer.source ?? 0
                if let last = entries.last {
                    source = try await transaction.source(answer, in: scope)
                    usage = plan.usage
                    head = LogHead(
                        sequence: last.sequence, pair: last.tagged(changes[last.change]).pair)
                    writes.append(
                        GroupWrite(transaction: transaction, entries: entries, source: source))
                }
                if plan.acknowledgesEarlier { commits = true }
                let log = OpenLog(
                    scope: scope, source: source, reading: reading, end: end,
                    hasHole: examined.hasHole)
                decisions.append(.decided(plan, log, head ?? before))
            } catch let refusal as RPCFailure {
                decisions.append(.refused(refusal))
            }
        }
        if answers.first?.reading.usage?.isBehind == true { commits = true }
        write(writes, &pipeline, isLast: part.upperBound == members.count)
        read(part, head, hasWritten: !writes.isEmpty, &pipeline)
    }

    private mutating func write(
        _ writes: [GroupWrite], _ pipeline: inout Pipeline, isLast: Bool
    ) {
        guard !writes.isEmpty else { return }
        commits = true
        let merged = writes.count > 1 ? MergedChanges(writes) : nil
        if let merged, merged.isInAnyOrder(in: schema) {
            add(merged, to: &pipeline)
            checkConstraints(&pipeline, isLast: isLast)
            return
        }
        for (place, write) in writes.enumerated() {
            var commands = write.transaction.writes(
                write.entries, scope, write.source, expecting: .asRecorded)
            commands.insert(bounds, at: 1)
            pipeline.add(contentsOf: commands)
            checkConstraints(&pipeline, isLast: isLast && place == writes.count - 1)
        }
    }

    /// Forces what waits for the commit. After each upload, where PostgreSQL compares its rows with
    /// those of others: alone, it could not have waited for what the next one writes.
    private func checkConstraints(_ pipeline: inout Pipeline, isLast: Bool) {
        guard schema.catalog.hasDeferrableConstraints else { return }
        pipeline.add(UploadStatements.checkConstraints)
        if !isLast { pipeline.add(UploadStatements.deferConstraints) }
    }

    private func add(_ merged: MergedChanges, to pipeline: inout Pipeline) {
        let commands = merged.body.withBytes { bytes in
            WriteRequest(
                scope: scope, sources: .each(merged.sources), changes: merged.changes,
                entries: merged.entries, statements: members[0].statements, expected: .asRecorded,
                body: bytes
            ).commands
        }
        let unseen = UnseenColumns(
            of: merged.entries.map { merged.changes[$0.change] }, in: schema)
        pipeline.add(
            Command(UploadStatements.enterWrites, members[0].entering(merged.entries, scope)))
        pipeline.add(bounds)
        pipeline.add(contentsOf: commands + unseen.commands)
    }

    /// Adds what reads how a part has ended.
    ///
    /// - Parameter head: where the log ends if the writes have caused no others.
    private mutating func read(
        _ part: Range<Int>, _ head: LogHead?, hasWritten: Bool, _ pipeline: inout Pipeline
    ) {
        if hasWritten, part.count == 1 {
            pending.heads.append(
                (part.lowerBound, pipeline.add(UploadStatements.ReadHead(scope: scope))))
        } else if hasWritten, let head {
            // Else the changes that an upload has caused would stand after the next one's.
            var bindings = Bindings()
            scope.bind(to: &bindings)
            bindings.bind(head.sequence)
            pipeline.add(Command(UploadStatements.expectHead, bindings))
        }
        for member in part {
            guard case .decided(let plan, _, let head) = decisions[member] else { continue }
            let shown = plan.ownSequencesShown
            if !shown.isEmpty {
                let own = UploadStatements.ReadPayloads(scope: scope, sequences: shown)
                pending.payloads.append((member, own, pipeline.add(own)))
            }
            if members[member].options.tellsHistory, head.pair == nil, head.sequence > 0 {
                let tagged = ReadTaggedChange(scope: scope, sequence: head.sequence)
                pending.tags.append((member, pipeline.add(tagged)))
            }
        }
    }

    /// What became of each member, after the commit.
    private func outcomes() async -> [Outcome] {
        var outcomes: [Outcome] = []
        for (transaction, decision) in zip(members, decisions) {
            switch decision {
            case .refused(let refusal): outcomes.append(.failure(refusal))
            case .decided(let plan, let log, let head):
                outcomes.append(.success(await transaction.result(plan, log, head)))
            }
        }
        return outcomes
    }
}
