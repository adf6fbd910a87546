import Model
import NIOCore
import Postgres
import RPC
import ServiceKit
import Sidecar
import Traces
import Waiting

/// Writes uploads of one user in one transaction, or each in its own where that does not go well.
extension UploadExecutor {
    /// The least time that an upload in a group has until its deadline.
    private static let leastTimeLeft: Duration = .seconds(1)

    typealias Outcome = Result<AnsweredUpload, any Error>

    /// What an upload that was read brings to a group; nil if it is written alone.
    func load(of upload: QueuedUpload, _ batch: UploadBatch) -> FairQueue.Load? {
        // Policies read which device writes, once a transaction; a new user has no scope
        // to lock.
        guard upload.mayShare, !upload.options.isAtomic, !batch.schema.hasPolicies,
            !batch.hasRefusedRows,
            scopes.scope(of: upload.user) != nil, groups.admits(upload)
        else { return nil }
        return FairQueue.Load(items: batch.count, bytes: batch.body.readableBytes)
    }

    /// Writes a group.
    ///
    /// - Parameter answer: gets the outcome of each upload, by its place, as soon as it is known.
    func write(
        _ uploads: [QueuedUpload], answer: (Int, Outcome) -> Void
    ) async {
        guard let span = Traces.group(of: uploads) else { return await writeGroup(uploads, answer) }
        await span.run { await writeGroup(uploads, answer) }
        span.end()
    }

    private func writeGroup(
        _ uploads: [QueuedUpload], _ answer: (Int, Outcome) -> Void
    ) async {
        do {
            for (place, outcome) in try await writeTogether(uploads).enumerated() {
                answer(place, outcome)
            }
            groups.noteWritten(uploads)
            return
        } catch is LogIsLocked {
            for place in uploads.indices { answer(place, .failure(RPCFailure.userIsBusy)) }
        } catch {
            if !(error is NotTogether) { groups.countBroken() }
            if let error = error as? PostgresError, error.isOfEachUpload {
                for place in uploads.indices { answer(place, .failure(error)) }
                return
            }
            await writeAlone(uploads, after: error, answer: answer)
        }
    }

    private func writeTogether(_ uploads: [QueuedUpload]) async throws -> [Outcome] {
        let statements = try await preparedStatements()
        let batches = try uploads.map { try $0.reading.batch(for: statements.schema) }
        guard let first = uploads.first, let scope = scopes.scope(of: first.user),
            uploads.allSatisfy({ $0.deadline - .now > Self.leastTimeLeft }),
            // Both may have changed since the uploads were prepared.
            !statements.schema.hasPolicies, uploads.allSatisfy(groups.admits)
        else { throw NotTogether() }
        let members = Array(zip(uploads, batches))
        let results: [GroupTransaction.Outcome]
        do {
            results = try await transact(
                members, statements, scope, logWait: queue.logWaits.firstWait)
        } catch let error as PostgresError where error.isOfScopeLock {
            guard queue.logWaits.enter() else { throw LogIsLocked() }
            defer { queue.logWaits.leave() }
            results = try await transact(members, statements, scope, logWait: nil)
        }
        return zip(batches, results).map { batch, result in result.map { (batch, $0) } }
    }

    private func transact(
        _ members: [(upload: QueuedUpload, batch: UploadBatch)], _ statements: BusinessStatements,
        _ scope: NamedScope, logWait: Duration?
    ) async throws -> [GroupTransaction.Outcome] {
        try await pool.withConnection(deadline: members[0].upload.deadline) { connection in
            if members.contains(where: \.batch.mayRunTriggers) {
                connection.expectChangedSettings()
            }
            let members = members.map { upload, batch in
                UploadTransaction(
                    connection: connection, scopes: scopes, upload: upload, batch: batch,
                    statements: statements, timeouts: timeouts, isRepeated: false,
                    logWait: logWait, unreadable: UnreadableParents(),
                    ends: SessionEnds(from: .now, until: upload.deadline), quotas: quotas)
            }
            var transaction = GroupTransaction(
                connection: connection, scope: scope, members: members, logWait: logWait)
            return try await transaction.run()
        }
    }

    /// Writes the uploads of a group that has failed, in their order.
    private func writeAlone(
        _ uploads: [QueuedUpload], after trouble: any Error, answer: (Int, Outcome) -> Void
    ) async {
        var culprits: [QueuedUpload] = []
        var slowest: (upload: QueuedUpload, time: Duration)?
        await writeInLine(uploads) { place, outcome, time in
            if let time, time > slowest?.time ?? .zero { slowest = (uploads[place], time) }
            if time != nil, Self.isOfUpload(outcome) { culprits.append(uploads[place]) }
            answer(place, outcome)
        }
        guard let trouble = trouble as? PostgresError,
            trouble.isOfStatement || trouble.endsSession || RowRefusal(trouble) != nil
        else { return }
        // One that is too slow for a group, and has time enough by itself.
        if culprits.isEmpty, trouble.sqlState == .queryCanceled, let slowest,
            slowest.time > timeouts.group(of: 0)
        {
            culprits = [slowest.upload]
        }
        groups.exclude(culprits, of: uploads)
    }

    /// What happens while uploads are written alone.
    private enum Step: Sendable {
        case written(Int, Outcome, after: Duration)
        /// Somebody has waited as long as may be.
        case late
    }

    /// Writes uploads one after the other. One that has waited as long as in the queue is answered
    /// that the user is busy, at once.
    ///
    /// - Parameter answer: gets each outcome, and the time of those that were written.
    private func writeInLine(
        _ uploads: [QueuedUpload], answer: (Int, Outcome, Duration?) -> Void
    ) async {
        // The first one's turn has come in time. The others wait for it as they would in line.
        var line = Array(uploads.indices)
        await withTaskGroup(of: Step.self) { tasks in
            var isWriting = false
            while true {
                if !isWriting, !line.isEmpty {
                    let place = line.removeFirst()
                    let upload = uploads[place]
                    isWriting = true
                    tasks.addTask { [self] in
                        let start = ContinuousClock.now
                        let outcome = await outcome(of: upload)
                        return .written(place, outcome, after: .now - start)
                    }
                    if place == 0 { Self.addAlarm(line, uploads, &tasks) }
                }
                guard isWriting, let step = await tasks.next() else { break }
                if case .written(let place, let outcome, let time) = step {
                    isWriting = false
                    answer(place, outcome, time)
                }
                let now = ContinuousClock.now
                for place in line where uploads[place].latestStart <= now {
                    answer(place, .failure(RPCFailure.userIsBusy), nil)
                }
                line.removeAll { uploads[$0].latestStart <= now }
                if case .late = step { Self.addAlarm(line, uploads, &tasks) }
            }
            tasks.cancelAll()
        }
    }

    private func outcome(of upload: QueuedUpload) async -> Outcome {
        do {
            return .success(try await write(upload))
        } catch {
            return .failure(error)
        }
    }

    /// Wakes the loop when the first of the line has waited as long as may be.
    private static func addAlarm(
        _ line: [Int], _ uploads: [QueuedUpload], _ tasks: inout TaskGroup<Step>
    ) {
        guard let first = line.lazy.map({ uploads[$0].latestStart }).min() else { return }
        tasks.addTask {
            try? await Task.sleep(until: first, clock: .continuous)
            return .late
        }
    }

    /// Whether an upload would fail a group, as it comes out alone.
    private static func isOfUpload(_ outcome: Outcome) -> Bool {
        switch outcome {
        case .success(let answered): !answered.result.isPlain
        case .failure(let error): (error as? PostgresError)?.isOfStatement == true
        }
    }

    /// Somebody keeps the user's log locked, and too many wait for those of others.
    private struct LogIsLocked: Error {}

    /// The uploads of a group cannot be written together now.
    private struct NotTogether: Error {}
}

extension PostgresError {
    /// What one upload has met, each of them would meet, after as long a wait.
    fileprivate var isOfEachUpload: Bool { kind == .poolExhausted || isUnreachable }

    /// PostgreSQL has refused a statement, and not because other transactions were faster.
    fileprivate var isOfStatement: Bool {
        guard let sqlState else { return false }
        return sqlState.errorClass != "40" && !isOfScopeLock
    }
}

extension Traces {
    /// Begins the span of a group, below the first of its sampled uploads and with links to the
    /// others: their one transaction belongs to all of them.
    fileprivate static func group(of uploads: [QueuedUpload]) -> LiveSpan? {
        let sampled = uploads.compactMap(\.trace)
        guard let first = sampled.first, let span = child("upload group", below: first) else {
            return nil
        }
        for other in sampled.dropFirst() { span.link(to: other) }
        span.set("oversync.group.uploads", uploads.count)
        return span
    }
}
