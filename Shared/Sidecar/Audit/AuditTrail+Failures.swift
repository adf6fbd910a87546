import Postgres

extension AuditTrail {
    /// Has an action of one transaction recorded also where it fails: the transaction takes the row
    /// of its own back then.
    ///
    /// - Parameter connection: not within a transaction when `body` throws.
    /// - Throws: what `body` throws.
    package func recordingFailure<Value>(
        of action: AuditAction, to target: String, on connection: PostgresConnection,
        _ body: () async throws -> Value
    ) async throws -> Value {
        do {
            return try await body()
        } catch {
            let code = (error as? PostgresError)?.sqlState?.rawValue ?? "\(type(of: error))"
            // Where the database is why, there is nowhere to record it.
            _ = try? await connection.run(
                AuditStatements.Append(
                    AuditEntry(action, of: target, by: origin, .failed, code: code)))
            throw error
        }
    }
}
