import Postgres
import Sidecar

extension KeyStore {
    /// Has a person's change of keys recorded in the audit, also where it does not succeed: it
    /// takes its own row back then. A replica's own changes, which it repeats, are not.
    ///
    /// - Throws: what `body` throws.
    package static func recordingFailures<Value>(
        of action: AuditAction, to target: String, by origin: AuditOrigin,
        on connection: PostgresConnection, _ body: () async throws -> Value
    ) async throws -> Value {
        do {
            return try await body()
        } catch {
            let refusal = error as? KeyRefusal
            let code =
                refusal?.code ?? (error as? PostgresError)?.sqlState?.rawValue
                ?? "\(type(of: error))"
            // Where the database is why, there is nowhere to record it.
            _ = try? await connection.run(
                AuditStatements.AppendOfAuth(
                    AuditEntry(
                        action, of: target, by: origin, refusal == nil ? .failed : .refused,
                        code: code)))
            throw error
        }
    }
}
