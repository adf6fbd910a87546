import OperatorKit
import Postgres

extension StackAddress {
    private static let cut = Statement(
        name: "cut_sessions",
        sql: """
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()
                AND backend_type = 'client backend'
            """)

    /// Ends all other sessions of the stack's database.
    ///
    /// - Returns: how many there were.
    package func cutDatabaseSessions() async throws -> Int64 {
        try await withConnection(to: database) { connection in
            try await connection.rows(Self.cut, of: Int64.self).one()
        }
    }
}
