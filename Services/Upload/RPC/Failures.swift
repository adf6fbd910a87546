import Model
import NIOCore
import Postgres
import Protos
import RPC
import ServiceKit
import Sidecar
import WireJSON

/// The `ListFailures` call.
struct ListFailures: Sendable {
    let store: FailureStore

    func callAsFunction(
        _ request: ListFailuresRequest, _ context: CallContext
    ) async throws -> RPCReply<ListFailuresReply> {
        do {
            var reply = ListFailuresReply()
            reply.failures = try await store.list(request, deadline: context.deadline)
            return RPCReply(reply)
        } catch let error as PostgresError {
            throw UploadExecutor.failure(error)
        }
    }
}

/// The `RetryFailure` call: a change that was refused, sent again under its own device and change id. Should
/// the device send it too, it is a repeat.
struct RetryFailure: Sendable {
    let store: FailureStore
    let executor: UploadExecutor
    let announcer: HeadAnnouncer
    let source: CatalogSource

    func callAsFunction(
        _ request: RetryFailureRequest, _ context: CallContext
    ) async throws -> RPCReply<RetryFailureReply> {
        let actor = try context.requiredCaller().user
        do {
            guard let entry = try await store.failure(request.id, deadline: context.deadline)
            else {
                throw RPCFailure(
                    .notFound, code: "not_found", message: "materialize failure not found")
            }
            if entry.isStale {
                try await store.close(
                    request.id, isResolved: true, by: actor, outcome: "stale",
                    deadline: context.deadline)
                return RPCReply(RetryFailureReply(), body: Self.stale(entry.rowVersion))
            }
            let result = try await upload(entry.failure, context)
            guard let outcome = result.outcomes.first else { throw RPCFailure.internal }
            var isApplied = false
            if case .applied = outcome { isApplied = true }
            try await store.close(
                request.id, isResolved: isApplied, by: actor, outcome: outcome.status,
                deadline: context.deadline)
            return RPCReply(RetryFailureReply(), body: UploadAnswer.status(outcome, changeID: 0))
        } catch let error as PostgresError {
            throw UploadExecutor.failure(error)
        }
    }

    private func upload(
        _ failure: MaterializeFailure, _ context: CallContext
    ) async throws -> UploadResult {
        // The change was let in when its device sent it; an administrator sends it now.
        let tables = try await source.catalog().tables
        let roles = tables.flatMap { table in
            (table.access.readRoles ?? []).union(table.access.writeRoles ?? [])
        }
        let (_, result) = try await executor.upload(
            Self.body(failure),
            from: CallerIdentity(user: failure.user, device: failure.device, roles: roles),
            deadline: context.deadline)
        if result.sequences != nil {
            await announcer.announce(result.highestSequence, of: UserID(failure.user))
        }
        return result
    }

    private static func body(_ failure: MaterializeFailure) -> ByteBuffer {
        var json: [UInt8] = []
        json.append(literal: "{\"changes\":[{\"source_change_id\":")
        json.append(integer: failure.sourceChangeID)
        json.append(literal: ",\"schema\":")
        json.append(jsonString: failure.schema)
        json.append(literal: ",\"table\":")
        json.append(jsonString: failure.table)
        json.append(literal: ",\"op\":")
        json.append(jsonString: failure.operation)
        json.append(literal: ",\"pk\":")
        json.append(jsonString: failure.key)
        json.append(literal: ",\"server_version\":")
        json.append(integer: failure.attemptedVersion - 1)
        if !failure.payload.isEmpty {
            json.append(literal: ",\"payload\":")
            json.append(contentsOf: failure.payload.utf8)
        }
        json.append(literal: "}]}")
        return ByteBuffer(bytes: json)
    }

    private static func stale(_ version: RowVersion) -> ByteBuffer {
        ByteBuffer(
            string: #"{"source_change_id":0,"status":"applied","new_server_version":\#(version),"#
                + #""message":"failure was stale; removed"}"# + "\n")
    }
}
