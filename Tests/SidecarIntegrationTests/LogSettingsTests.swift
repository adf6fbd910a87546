import Foundation
import LocalPostgres
import Postgres
@testable import Sidecar
import Testing
import TestSupport

/// What PostgreSQL's log says of rows that a table refuses.
@Suite("PostgreSQL's log and the rows that it refuses")
struct LogSettingsTests {
    private static func insert(_ secret: String) -> String {
        "INSERT INTO app.checked VALUES ('\(secret)', 0)"
    }

    @Test("A row that a table refuses is in the log of others, and not in that of Upload's role")
    func contents() async throws {
        let role = ServiceRole.upload.defaultName
        try await TestDatabase.withCluster { cluster in
            let url = cluster.connectionURL()
            let (seen, hidden) = ("seen-\(UUID().uuidString)", "hidden-\(UUID().uuidString)")
            try await connected(to: url) { connection in
                try await connection.execute(
                    script: """
                        CREATE SCHEMA app;
                        CREATE TABLE app.checked (name text, n int CHECK (n > 0));
                        """)
                _ = try await Migrator(connection: connection).migrate()
                #expect(try await RoleInstallation(connection: connection).apply().count == 4)
                try await connection.execute(
                    script:
                        "GRANT USAGE ON SCHEMA app TO \(role); GRANT ALL ON app.checked TO \(role)")
                await #expect(throws: PostgresError.self) {
                    try await connection.execute(script: Self.insert(seen))
                }
            }
            try await connected(to: TestDatabase.url(url, as: role)) { connection in
                let error = await #expect(throws: PostgresError.self) {
                    try await connection.execute(script: Self.insert(hidden))
                }
                // The error itself tells the whole.
                #expect(error?.sqlState == .checkViolation)
            }
            let log = try String(contentsOfFile: cluster.directory + "/server.log", encoding: .utf8)
            #expect(log.contains(seen))
            #expect(!log.contains(hidden))
            #expect(log.ranges(of: "violates check constraint").count == 2)
        }
    }

    @Test("An owner who may not set that is told what a superuser has to run, until it was run")
    func owner() async throws {
        try await RoleFixture.with { database in
            let owner = "\(database.prefix)_owner"
            try await database.execute(
                """
                CREATE ROLE "\(owner)" LOGIN CREATEROLE;
                GRANT ALL ON SCHEMA app, types, shared TO "\(owner)";
                """)
            try await database.sql { connection in
                try await connection.execute(
                    script: """
                        DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO %I',
                            current_database(), '\(owner)'); END $$;
                        DROP SCHEMA sync, oversync_auth CASCADE;
                        """)
            }
            try await database.sql(owner) { _ = try await Migrator(connection: $0).migrate() }
            let told = try await database.install(as: owner).filter { $0.contains("its log") }
            let text = try #require(told.first)
            #expect(told.count == 1 && text.contains("\(database.name(.upload)) may not set it"))
            let statements = text.split(separator: "\n").filter { $0.contains("ALTER ROLE") }
            #expect(statements.count == 3)
            try await database.execute(statements.joined(separator: "\n"))
            let again = try await database.install(as: owner)
            #expect(!again.contains { $0.contains("its log") })
            let set = try await database.rows(
                "SELECT current_setting('log_error_verbosity')", as: database.name(.upload))
            #expect(set == ["terse"])
        }
    }
}
