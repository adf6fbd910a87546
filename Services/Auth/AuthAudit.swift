import LogFields
import Logging
import Postgres
import RPC
import Sidecar

/// Adds to the audit what Auth does.
struct AuthAudit: Sendable {
    let pool: PostgresPool
    let logger: Logger

    /// Returns when the row is kept.
    ///
    /// - Throws: `RPCFailure.unavailable`: what was to be recorded must not happen.
    func record(_ entry: AuditEntry, _ context: CallContext) async throws {
        do {
            try await pool.withConnection(deadline: context.deadline) {
                _ = try await $0.run(
                    AuditStatements.AppendOfAuth(entry), deadline: context.deadline)
            }
        } catch let error where !(error is CancellationError) {
            logger.error(
                "the audit could not be written",
                metadata: .fields([
                    .requestID: "\(context.requestID)", .error: "\(error)",
                ]))
            throw RPCFailure.unavailable("The audit cannot be written now; try again")
        }
    }
}
