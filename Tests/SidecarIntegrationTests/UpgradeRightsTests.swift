import Model
import Postgres
@testable import Sidecar
import Testing
import TestSupport

@Suite("Layout 10 takes EXECUTE from everybody, and from nobody who calls the functions")
struct UpgradeRightsTests {
    /// As databases of layout 9 are.
    private static func migrateToNine(_ connection: PostgresConnection) async throws {
        for migration in Migration.all.prefix(9) {
            try await connection.execute(
                script: migration.sql.replacing("oversync_auth", with: "auth"))
        }
        try await connection.execute(script: "UPDATE sync.meta SET layout_version = 9")
    }

    private static func newRole(_ connection: PostgresConnection) async throws -> String {
        let role = "old_\(UInt32.random(in: 0...UInt32.max))"
        try await connection.execute(script: "CREATE ROLE \(role) LOGIN")
        return role
    }

    @Test(
        "A service of the previous version that may enter the schema as everybody may goes on",
        arguments: [true, false])
    func everybody(mayEnter: Bool) async throws {
        try await TestDatabase.withDatabase { url in
            try await connected(to: url) { owner in
                try await Self.migrateToNine(owner)
                let role = try await Self.newRole(owner)
                let holder = mayEnter ? "PUBLIC" : try await Self.newRole(owner)
                try await owner.execute(script: "GRANT USAGE ON SCHEMA sync TO \(holder)")
                _ = try await Migrator(connection: owner).migrate()
                let mayRun = try await owner.run(
                    Command(
                        Statement(
                            name: "may_run",
                            sql: """
                                SELECT has_function_privilege(
                                    '\(role)', 'sync.expect_rows(bigint, bigint)', 'EXECUTE')
                                """)))
                #expect(try mayRun.bool(0, 0) == mayEnter)
                guard mayEnter else { return }
                try await connected(to: TestDatabase.url(url, as: role)) { old in
                    try await old.execute(script: "SELECT sync.expect_rows(2, 2)")
                }
            }
        }
    }

    // app        owns the schema and the capture function, which runs as app
    // superuser  made the functions that it calls, and migrates
    @Test("Capture functions go on calling functions that another role has made")
    func capture() async throws {
        try await TestDatabase.withDatabase { url in
            try await connected(to: url) { owner in
                try await Self.migrateToNine(owner)
                let app = try await Self.newRole(owner)
                try await Self.register(owner)
                try await owner.execute(
                    script: """
                        ALTER SCHEMA b OWNER TO \(app);
                        ALTER TABLE b.notes OWNER TO \(app);
                        ALTER SCHEMA sync OWNER TO \(app);
                        DO $$
                        DECLARE
                            it record;
                        BEGIN
                            FOR it IN SELECT tablename FROM pg_tables WHERE schemaname = 'sync' LOOP
                                EXECUTE format('ALTER TABLE sync.%I OWNER TO \(app)', it.tablename);
                            END LOOP;
                            FOR it IN
                                SELECT oid::regprocedure AS name FROM pg_proc
                                WHERE pronamespace = 'sync'::regnamespace
                                    AND proname ^@ 'capture_'
                            LOOP
                                EXECUTE format('ALTER FUNCTION %s OWNER TO \(app)', it.name);
                            END LOOP;
                        END $$;
                        """)
                let insert = "INSERT INTO b.notes VALUES (gen_random_uuid(), 'ann')"
                try await connected(to: TestDatabase.url(url, as: app)) { writer in
                    try await writer.execute(script: insert)
                    _ = try await Migrator(connection: owner).migrate()
                    try await writer.execute(script: insert)
                }
                try await connected(to: TestDatabase.url(url, as: app)) { writer in
                    try await writer.execute(script: insert)
                }
                let logged = try await owner.run(
                    Command(
                        Statement(name: "logged", sql: "SELECT count(*) FROM sync.change_log")))
                #expect(try logged.int64(0, 0) == 3)
            }
        }
    }

    /// Registers a table as `oversync migrate` of layout 9 did: without roles.
    private static func register(_ connection: PostgresConnection) async throws {
        try await connection.execute(
            script: """
                CREATE SCHEMA b;
                CREATE TABLE b.notes (id uuid PRIMARY KEY, owner text);
                INSERT INTO sync.catalog
                    (schema_name, table_name, key_kind, key_column, mode, owner_column)
                VALUES ('b', 'notes', 'uuid', 'id', 'table', 'owner');
                """)
        // The catalog is read as today; layout 9 has no such columns.
        try await connection.execute(
            script: """
                ALTER TABLE sync.catalog
                    ADD COLUMN except_columns text[], ADD COLUMN read_only_columns json,
                    ADD COLUMN row_security boolean NOT NULL DEFAULT false,
                    ADD COLUMN read_patterns json, ADD COLUMN write_patterns json
                """)
        // The capture triggers alone: the others call a function that layout 9 has not.
        let tables = try await Catalog.readTables(on: connection)
        for function in tables.compactMap({ CaptureFunction($0) }) {
            let script = CaptureInstallation.install(function, hasTriggers: false)
            try await connection.execute(script: script)
        }
        try await connection.execute(
            script: """
                ALTER TABLE sync.catalog
                    DROP COLUMN except_columns, DROP COLUMN read_only_columns,
                    DROP COLUMN row_security, DROP COLUMN read_patterns, DROP COLUMN write_patterns
                """)
    }
}
