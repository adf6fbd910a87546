import LocalPostgres
import OperatorKit
import Postgres
import Sidecar

/// A second database on the same cluster, with the same tables and without our triggers, for what PostgreSQL alone
/// can do.
struct FloorDatabase: Sendable {
    private static let name = "floor"
    /// Users that the uploading scripts write for; each client of pgbench is one.
    static let writers = 64

    let url: String

    static func make(on postgres: LocalPostgres, businessSchema: String) async throws
        -> FloorDatabase
    {
        try await withConnection(to: postgres.connectionURL()) { connection in
            try await connection.execute(script: "DROP DATABASE IF EXISTS \(name)")
            try await connection.execute(script: "CREATE DATABASE \(name)")
        }
        let url = postgres.connectionURL(database: name)
        try await withConnection(to: url) { connection in
            try await connection.execute(script: businessSchema)
            _ = try await Migrator(connection: connection).migrate()
            // The scripts count on numbers from 1.
            try await connection.execute(
                script: """
                    INSERT INTO sync.scope (user_id)
                    SELECT 'writer-' || n FROM generate_series(1, \(writers)) AS n ORDER BY n
                    """)
        }
        return FloorDatabase(url: url)
    }
}
