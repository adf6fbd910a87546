import DatabaseKit
import Postgres
import Protos
import RPC

/// The `ListFailures` call.
struct ListFailures: Sendable {
    let store: FailureStore
    let administrators: Administrators

    func callAsFunction(
        _ request: ListFailuresRequest, _ context: CallContext
    ) async throws -> RPCReply<ListFailuresReply> {
        _ = try administrators.admit(context)
        do {
            var reply = ListFailuresReply()
            reply.failures = try await store.list(
                request, by: try context.origin(), deadline: context.deadline)
            return RPCReply(reply)
        } catch let error as PostgresError {
            throw DatabaseFailures.upload.failure(of: error)
        }
    }
}
