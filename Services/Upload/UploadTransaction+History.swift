import Model
import Postgres
import RPC
import ServiceKit
import Sidecar

/// Whether the device knows this history, and what the answer says about its end.
extension UploadTransaction {
    /// Compares the pair that the device sent with the log. Comes after the checks of access and
    /// epoch, and before anything is written: equal versions of two histories would overwrite each
    /// other silently.
    ///
    /// - Returns: whether the log has a hole there.
    /// - Throws: `RPCFailure.historyForked` or `.historyUnproven`; `PostgresError`.
    func checkHistory(_ locked: LockedScope, of scope: NamedScope) async throws -> Bool {
        guard let pair = upload.options.pair else { return false }
        var finding = locked.end.judge(pair, found: locked.found)
        if finding == .hole {
            // Written while the lock was waited for, perhaps, and not seen by the statement that
            // waited.
            let change = try await read(pair.sequence, of: scope)
            finding = locked.end.judge(pair, found: change)
        }
        switch finding {
        case .same: return false
        case .hole: return true
        case .forked: throw RPCFailure.historyForked
        case .unproven: throw RPCFailure.historyUnproven
        }
    }

    /// Ends an upload that leaves the log as it is.
    ///
    /// - Parameter commits: whether what the transaction did so far is kept.
    func leave(
        _ plan: UploadPlan, _ log: OpenLog, committing commits: Bool = false
    ) async throws -> UploadResult {
        let head = log.end.head
        let known = log.end.known(at: head)
        var pipeline = Pipeline()
        // What it acknowledges may be as young as the log's last change.
        let asked =
            upload.options.tellsHistory && known == nil && head > 0
            ? pipeline.add(ReadTaggedChange(scope: log.scope, sequence: head)) : nil
        pipeline.add(commits ? UploadStatements.commit : UploadStatements.rollback)
        let results = try await run(pipeline)
        let found = try asked.map { try results[$0].first()?.pair } ?? nil
        return UploadResult(
            plan: plan, log: log, head: LogHead(sequence: head, pair: known ?? found))
    }

    /// What a committed upload came to.
    ///
    /// - Parameter head: as read before the commit. Where the writes caused further changes the tag
    ///   of the last one is not known, and is read. Should that fail, the upload is committed all
    ///   the same, and its device gets its next pair with another answer.
    func result(_ plan: UploadPlan, _ log: OpenLog, _ head: LogHead) async -> UploadResult {
        var head = head
        if upload.options.tellsHistory, head.pair == nil, head.sequence > 0 {
            let pair = (try? await read(head.sequence, of: log.scope))?.pair
            head = LogHead(sequence: head.sequence, pair: pair)
        }
        return UploadResult(plan: plan, log: log, head: head)
    }

    private func read(
        _ sequence: Sequence64, of scope: NamedScope
    ) async throws(PostgresError) -> TaggedChange? {
        try await connection.run(
            ReadTaggedChange(scope: scope, sequence: sequence), deadline: deadline
        ).first()
    }
}
