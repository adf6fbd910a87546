import Model
import Postgres
@testable import Sidecar
import Testing
import TestSupport

@Suite("Migrations whose program dies in their middle")
struct KilledMigrationTests {
    /// Ends the session of a migrator after the statement that it names, as kill -9 ends it.
    private static let trap = """
        CREATE SCHEMA trap;
        CREATE SEQUENCE trap.statements;
        CREATE FUNCTION trap.spring() RETURNS event_trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF nextval('trap.statements') = current_setting('trap.at', true)::bigint THEN
                PERFORM pg_terminate_backend(pg_backend_pid());
            END IF;
        END $$;
        CREATE EVENT TRIGGER \(name) ON ddl_command_end EXECUTE FUNCTION trap.spring();
        """
    private static let name = "killed_migration"
    private static let removal = "DROP EVENT TRIGGER \(name); DROP SCHEMA trap CASCADE"
    /// Between two deaths: each seventh statement is enough to meet every migration several times.
    private static let stride = 7

    private static let table = TableRegistration(
        name: TableName(schema: "public", table: "notes"), owner: "owner")

    /// Does what `oversync migrate` does, as often as it takes, and dies at ever later statements.
    ///
    /// - Returns: how often it died.
    private static func migrateWithDeaths(_ url: String) async throws -> Int {
        var deaths = 0
        for place in Swift.stride(from: 1, through: Int.max, by: stride) {
            do {
                try await connected(to: url) { connection in
                    try await connection.execute(
                        script: "SELECT setval('trap.statements', 1, false); SET trap.at = \(place)"
                    )
                    _ = try await Migrator(connection: connection).migrate()
                    _ = try await RoleInstallation(connection: connection).apply()
                    try await Registration.apply([table], on: connection)
                }
                return deaths
            } catch let error as PostgresError
                where error.kind == .connectionLost || error.sqlState == .adminShutdown
            {
                deaths += 1
            }
        }
        return deaths
    }

    private static let notes = "CREATE TABLE notes (id uuid PRIMARY KEY, owner text);"

    /// Leaves what is not of the layout: the table's triggers and functions.
    private static func finish(_ connection: PostgresConnection) async throws {
        try await connection.execute(
            script:
                "INSERT INTO notes VALUES (gen_random_uuid(), 'ann'), (gen_random_uuid(), 'bob')"
        )
        try await Registration.apply([], on: connection)
    }

    @Test(
        "Wherever it dies, the next run comes to the same layout, and keeps what was there",
        arguments: [0, 2, 9])
    func everywhere(installed: Int) async throws {
        let expected = try await LayoutTests.describe { connection, _ in
            try await connection.execute(script: Self.notes)
            _ = try await Migrator(connection: connection).migrate()
            _ = try await RoleInstallation(connection: connection).apply()
            try await Registration.apply([Self.table], on: connection)
            try await Self.finish(connection)
        }
        let found = try await LayoutTests.describe { connection, url in
            for migration in Migration.all.prefix(installed) {
                try await connection.execute(script: migration.sql)
            }
            if installed > 0 {
                try await connection.execute(
                    script: """
                        UPDATE sync.meta SET layout_version = \(installed);
                        INSERT INTO sync.scope (user_id, last_seq) VALUES ('ann', 7);
                        """)
            }
            try await connection.execute(script: Self.notes + Self.trap)
            let deaths = try await Self.migrateWithDeaths(url)
            #expect(deaths > 5)
            try await connection.execute(script: Self.removal)
            try await Self.finish(connection)
            let heads = try await connection.run(
                Command(
                    Statement(
                        name: "heads",
                        sql: """
                            SELECT string_agg(last_seq::text, ' ' ORDER BY user_id) FROM sync.scope
                            """)))
            #expect(try heads.string(0, 0) == (installed > 0 ? "8 1" : "1 1"))
        }
        #expect(Set(found).symmetricDifference(expected).sorted() == [])
    }
}
