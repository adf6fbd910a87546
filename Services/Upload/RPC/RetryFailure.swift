import DatabaseKit
import Model
import NIOCore
import Postgres
import Protos
import RPC
import ServiceKit
import WireJSON

/// The `RetryFailure` call: decides a refused change again, under its own device and change id. If
/// the device sends it too, that is a repeat.
struct RetryFailure: Sendable {
    let store: FailureStore
    let executor: UploadExecutor
    let announcer: HeadAnnouncer
    let administrators: Administrators

    func callAsFunction(
        _ request: RetryFailureRequest, _ context: CallContext
    ) async throws -> RPCReply<RetryFailureReply> {
        let actor = try administrators.admit(context).user
        do {
            guard let entry = try await store.failure(request.id, deadline: context.deadline)
            else {
                throw RPCFailure(
                    .notFound, code: "not_found", message: "materialize failure not found")
            }
            if try await store.isHeld(request.id, deadline: context.deadline) {
                throw RPCFailure(
                    .conflict, code: "retry_in_progress",
                    message: "materialize failure retry is already in progress")
            }
            if entry.isStale {
                try await store.close(
                    request.id, isResolved: true, by: actor, outcome: "stale",
                    deadline: context.deadline)
                return RPCReply(RetryFailureReply(), body: Self.stale(entry.rowVersion))
            }
            let result = try await executor.retry(entry, deadline: context.deadline)
            if result.mayBeNews {
                await announcer.announce(
                    result.highestSequence, result.end, of: UserID(entry.failure.user))
            }
            guard let outcome = result.outcomes.first else { throw RPCFailure.internal }
            var isApplied = false
            if case .applied = outcome { isApplied = true }
            try await store.close(
                request.id, isResolved: isApplied, by: actor, outcome: outcome.status,
                deadline: context.deadline)
            return RPCReply(RetryFailureReply(), body: UploadAnswer.status(outcome, changeID: 0))
        } catch let error as PostgresError {
            throw DatabaseFailures.upload.failure(of: error)
        }
    }

    private static func stale(_ version: RowVersion) -> ByteBuffer {
        let status: JSONDocument = [
            "source_change_id": 0, "status": "applied", "new_server_version": .integer(version),
            "message": "failure was stale; removed",
        ]
        return ByteBuffer(string: status.text + "\n")
    }
}
