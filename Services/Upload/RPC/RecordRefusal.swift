import DatabaseKit
import Postgres
import Protos
import RPC
import ServiceKit
import Sidecar
import WireJSON

/// The `RecordRefusal` call: a caller without the administrators' role asked for an administrative
/// route. The gateway, which has no database, limits how many refusals it reports.
struct RecordRefusal: Sendable {
    let store: FailureStore

    func callAsFunction(
        _ request: RecordRefusalRequest, _ context: CallContext
    ) async throws -> RPCReply<RecordRefusalReply> {
        let leftOut = Int64(request.leftOut)
        let details: JSONDocument = [
            "device": .string(try context.requiredCaller().device),
            "left_out": leftOut > 0 ? .integer(leftOut) : nil,
        ]
        let entry = AuditEntry(
            .administer, of: request.route, by: try context.origin(), .refused, code: request.code,
            details: details)
        do {
            try await store.record(entry, deadline: context.deadline)
            return RPCReply(RecordRefusalReply())
        } catch let error as PostgresError {
            throw DatabaseFailures.upload.failure(of: error)
        }
    }
}

extension CallContext {
    /// Who the audit says has asked.
    ///
    /// - Throws: a failure that only a fault of the gateway can bring about.
    func origin() throws(RPCFailure) -> AuditOrigin {
        let caller = try requiredCaller()
        if let terminal = clientAddress.flatMap(AuditOrigin.terminal) { return terminal }
        return .token(
            caller.user, issuer: caller.issuer.isEmpty ? nil : caller.issuer, from: clientAddress)
    }
}
