import Model
import Postgres
import RPC
import Sidecar

extension ScopeIDs {
    /// Reads of a user's log by the number of its scope: as remembered, or found first.
    ///
    /// - Parameter body: reads; nil means that the scope is not the user's, and then it is called
    ///   once more with the scope that is. A user without a scope has nil, and must get an answer.
    /// - Throws: what `body` throws; `PostgresError`; `RPCFailure.unavailable` if the scope was
    ///   removed between being found and being read.
    func read<Answer>(
        of user: UserID, from pool: PostgresPool, _ deadline: ContinuousClock.Instant,
        _ body: (PostgresConnection, NamedScope?) async throws -> Answer?
    ) async throws -> Answer {
        try await pool.withConnection(deadline: deadline) { connection in
            if let remembered = scope(of: user) {
                if let answer = try await body(connection, remembered) { return answer }
                forget(remembered)
            }
            let found = try await connection.run(FindScope(user: user), deadline: deadline).first()
                .map { NamedScope(id: $0, user: user) }
            if let found { remember(found) }
            guard let answer = try await body(connection, found) else {
                throw RPCFailure.logReplaced
            }
            return answer
        }
    }
}

extension RPCFailure {
    /// The user's scope was removed while its log was read, as while a backup is put in place.
    static let logReplaced = RPCFailure.unavailable(
        "The log was replaced while it was read; try again")
}
