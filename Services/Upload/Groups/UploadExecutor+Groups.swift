import Model
import NIOCore
import Postgres
import RPC
import ServiceKit
import Sidecar
import Waiting

/// Writes uploads of one user in one transaction, or each in its own where that does not go well.
extension UploadExecutor {
    /// The least time that an upload in a group has until its deadline.
    private static let leastTimeLeft: Duration = .seconds(1)

    typealias Outcome = Result<AnsweredUpload, any Error>

    /// What an upload that was read brings to a group; nil if it is written alone.
    func load(of upload: QueuedUpload, _ batch: UploadBatch) -> FairQueue.Load? {
        // Policies are told of the device that writes, once a transaction; a new user has no scope
        // to lock.
        guard upload.mayShare, !upload.options.isAtomic, !batch.schema.hasPolicies,
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
        do {
            for (place, outcome) in try await writeTogether(uploads).enumerated() {
                answer(place, outcome)
            }
            groups.countWritten(uploads.count)
            return
        } catch {
            groups.countBroken()
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
            uploads.allSatisfy({ $0.deadline - .now > Self.leastTimeLeft })
        else { throw NotTogether() }
        let results = try await pool.withConnection(deadline: first.deadline) { connection in
            let members = zip(uploads, batches).map { upload, batch in
                UploadTransaction(
                    connection: connection, scopes: scopes, upload: upload, batch: batch,
                    statements: statements, timeouts: timeouts, isRepeated: false,
                    unreadable: UnreadableParents())
            }
            var transaction = GroupTransaction(
                connection: connection, scope: scope, members: members)
            return try await transaction.run()
        }
        return zip(batches, results).map { batch, result in result.map { (batch, $0) } }
    }

    /// Writes the uploads of a group that has failed, in their order.
    private func writeAlone(
        _ uploads: [QueuedUpload], after trouble: any Error, answer: (Int, Outcome) -> Void
    ) async {
        var culprits: [QueuedUpload] = []
        var slowest: (upload: QueuedUpload, time: Duration)?
        for (place, upload) in uploads.enumerated() {
            // The first one's turn has come in time. The others wait for it as they would in line.
            guard place == 0 || .now < upload.latestStart else {
                answer(place, .failure(RPCFailure.userIsBusy))
                continue
            }
            let start = ContinuousClock.now
            let outcome: Outcome
            do {
                outcome = .success(try await write(upload))
            } catch {
                outcome = .failure(error)
            }
            let time = .now - start
            if time > slowest?.time ?? .zero { slowest = (upload, time) }
            if Self.isOfUpload(outcome) { culprits.append(upload) }
            answer(place, outcome)
        }
        guard let trouble = trouble as? PostgresError, trouble.isOfStatement else { return }
        // One that is too slow for a group, and has time enough by itself.
        if culprits.isEmpty, trouble.sqlState == .queryCanceled, let slowest,
            slowest.time > GroupTransaction.time(of: 0)
        {
            culprits = [slowest.upload]
        }
        groups.exclude(culprits, of: uploads)
    }

    /// Whether an upload would fail a group, as it comes out alone.
    private static func isOfUpload(_ outcome: Outcome) -> Bool {
        switch outcome {
        case .success(let answered): !answered.result.isPlain
        case .failure(let error): (error as? PostgresError)?.isOfStatement == true
        }
    }

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
