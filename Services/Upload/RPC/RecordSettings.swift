import DatabaseKit
import Postgres
import Protos
import RPC
import Sidecar

/// The `RecordSettings` call: a service that writes nothing itself was started with these
/// settings.
struct RecordSettings: Sendable {
    /// The services that may call it. Upload and Auth record their own.
    private static let services: Set = ["oversync-download", "oversync-gateway"]
    /// Longest settings, in bytes: many times what a service has.
    private static let maximumBytes = 64 << 10

    let pool: PostgresPool

    func callAsFunction(
        _ request: RecordSettingsRequest, _ context: CallContext
    ) async throws -> RPCReply<RecordSettingsReply> {
        guard Self.services.contains(request.service),
            request.host.utf8.count <= AuditEntry.maximumNameBytes,
            request.settings.utf8.count <= Self.maximumBytes
        else {
            throw RPCFailure(
                .invalidArgument, code: "invalid_request",
                message: "service must be one that writes nothing itself, with at most "
                    + "\(Self.maximumBytes) bytes of settings")
        }
        let statement = AuditStatements.RecordConfiguration(
            service: request.service, host: request.host, settings: request.settings)
        do {
            var reply = RecordSettingsReply()
            reply.changed = try await pool.withConnection(deadline: context.deadline) {
                try await $0.run(statement, deadline: context.deadline).one()
            }
            return RPCReply(reply)
        } catch let error as PostgresError {
            throw DatabaseFailures.upload.failure(of: error)
        }
    }
}
