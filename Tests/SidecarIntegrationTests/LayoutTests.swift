import Foundation
import Logging
import Model
import Postgres
@testable import Sidecar
import Testing
import TestSupport

@Suite("The layout of the database")
struct LayoutTests {
    @Test("schema.sql is what the migrations make")
    func schema() async throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../Shared/Sidecar/schema.sql")
        let script = try String(contentsOf: file, encoding: .utf8)
        let migrated = try await Self.describe { connection, _ in
            _ = try await Migrator(connection: connection).migrate()
        }
        let written = try await Self.describe { connection, _ in
            try await connection.execute(script: script)
        }
        #expect(Set(written).subtracting(migrated).sorted() == [])
        #expect(Set(migrated).subtracting(written).sorted() == [])
        #expect(migrated.count > 100)
    }

    @Test(
        "S18, H16: of ten migrators at once each step is applied by one, all succeed, a repeat does nothing"
    )
    func concurrent() async throws {
        try await TestDatabase.withDatabase { url in
            var applied: [String] = []
            try await withThrowingTaskGroup(of: [String].self) { group in
                for _ in 0..<10 {
                    group.addTask {
                        try await connected(to: url) {
                            try await Migrator(connection: $0).migrate()
                        }
                    }
                }
                for try await names in group { applied += names }
            }
            #expect(applied.sorted() == Migration.all.map(\.name))
            try await connected(to: url) { connection in
                #expect(try await Migrator(connection: connection).migrate() == [])
                let status = try await Migrator(connection: connection).status()
                #expect(status == .init(version: Migration.currentVersion, pending: []))
            }
        }
    }

    @Test("A database without the sidecar lacks everything; one from a newer program is refused")
    func status() async throws {
        try await TestDatabase.withDatabase { url in
            try await connected(to: url) { connection in
                let migrator = Migrator(connection: connection)
                #expect(
                    try await migrator.status()
                        == .init(version: 0, pending: Migration.all.map(\.name)))
                _ = try await migrator.migrate()
                #expect(try await !migrator.status().isOneAhead)
                try await connection.execute(
                    script: "UPDATE sync.meta SET layout_version = layout_version + 1")
                #expect(try await migrator.status().isOneAhead)
                try await connection.execute(script: "UPDATE sync.meta SET layout_version = 999")
                #expect(try await !migrator.status().isOneAhead)
                let error = await #expect(throws: LayoutError.self) {
                    _ = try await migrator.migrate()
                }
                #expect(error?.description.contains("999") == true)
                #expect(error?.description.contains("newer") == true)
            }
        }
    }

    @Test("Migrations keep what is there: keys of tables without owners get theirs")
    func upgrade() async throws {
        try await TestDatabase.withDatabase { url in
            try await connected(to: url) { connection in
                for migration in Migration.all.prefix(2) {
                    try await connection.execute(script: migration.sql)
                }
                try await connection.execute(
                    script: """
                        UPDATE sync.meta SET layout_version = 2;
                        INSERT INTO sync.scope (user_id) VALUES ('ann');
                        INSERT INTO sync.catalog (schema_name, table_name, key_kind, key_column, mode)
                        VALUES ('s', 't', 'text', 'id', 'table');
                        INSERT INTO sync.row_state VALUES (1, 1, 'k', 1, 1, false), (1, 1, 'gone', 2, 2, true);
                        """)
                #expect(
                    try await Migrator(connection: connection).migrate()
                        == Migration.all.dropFirst(2).map(\.name))
                let owners = try await connection.run(
                    Command(
                        Statement(
                            name: "owners",
                            sql: "SELECT convert_from(key, 'UTF8'), scope_id FROM sync.key_owner")))
                #expect(owners.rowCount == 1)
                #expect(try owners.string(0, 0) == "k")
            }
        }
    }

    @Test(
        "Auth's table moves out of the schema auth; the previous version's statements go on there")
    func authMoves() async throws {
        try await TestDatabase.withDatabase { url in
            let role = "old_auth_\(UInt32.random(in: 0...UInt32.max))"
            try await connected(to: url) { connection in
                for migration in Migration.all.prefix(9) {
                    try await connection.execute(
                        script: migration.sql.replacing("oversync_auth", with: "auth"))
                }
                try await connection.execute(
                    script: """
                        UPDATE sync.meta SET layout_version = 9;
                        INSERT INTO auth.signing_key (kid, algorithm, public_key, sealed_private_key)
                        VALUES ('k1', 'ES256', 'p', 's');
                        CREATE ROLE \(role) LOGIN;
                        GRANT USAGE ON SCHEMA auth TO \(role);
                        GRANT SELECT, INSERT, UPDATE ON auth.signing_key TO \(role);
                        """)
            }
            // Connected before the migration, with its statements prepared.
            try await connected(to: TestDatabase.url(url, as: role)) { old in
                #expect(try await Self.keys(in: "auth", on: old) == ["k1"])
                try await connected(to: url) { connection in
                    let applied = try await Migrator(connection: connection).migrate()
                    #expect(applied == Migration.all.dropFirst(9).map(\.name))
                }
                // The statements of the version before, on its old connection and on a new one.
                #expect(try await Self.keys(in: "auth", on: old) == ["k1"])
                try await Self.addKey("k2", in: "auth", on: old)
                #expect(try await Self.keys(in: "auth", on: old) == ["k1", "k2"])
            }
            try await connected(to: TestDatabase.url(url, as: role)) { old in
                try await Self.addKey("k3", in: "auth", on: old)
                try await Self.addKey("k4", in: "oversync_auth", on: old)
                let all = ["k1", "k2", "k3", "k4"]
                #expect(try await Self.keys(in: "auth", on: old) == all)
                #expect(try await Self.keys(in: "oversync_auth", on: old) == all)
            }
        }
    }

    @Test("The lock of the old name and that of the new one exclude each other")
    func authLocks() async throws {
        try await TestDatabase.withDatabase { url in
            try await connected(to: url) { connection in
                for migration in Migration.all.prefix(9) {
                    try await connection.execute(
                        script: migration.sql.replacing("oversync_auth", with: "auth"))
                }
                try await connection.execute(script: "UPDATE sync.meta SET layout_version = 9")
                _ = try await Migrator(connection: connection).migrate()
                try await connection.execute(
                    script: "BEGIN; LOCK TABLE auth.signing_key IN SHARE ROW EXCLUSIVE MODE")
                try await connected(to: url) { other in
                    let error = await #expect(throws: PostgresError.self) {
                        try await other.execute(
                            script: """
                                BEGIN; LOCK TABLE oversync_auth.signing_key IN SHARE ROW EXCLUSIVE MODE NOWAIT
                                """)
                    }
                    #expect(error?.sqlState == .lockNotAvailable)
                }
            }
        }
    }

    @Test("A schema auth of another product is left alone")
    func foreignAuth() async throws {
        try await TestDatabase.withDatabase { url in
            try await connected(to: url) { connection in
                try await connection.execute(
                    script: """
                        CREATE SCHEMA auth; CREATE TABLE auth.users (id int);
                        CREATE TABLE auth.signing_key (theirs int)
                        """)
                _ = try await Migrator(connection: connection).migrate()
                let found = try await connection.run(
                    Command(
                        Statement(
                            name: "found",
                            sql: """
                                SELECT string_agg(format('%s %s', oid::regclass, relkind), ' ' ORDER BY oid::regclass::text)
                                FROM pg_class WHERE relkind IN ('r', 'v')
                                    AND relnamespace IN ('auth'::regnamespace, 'oversync_auth'::regnamespace)
                                """)))
                #expect(
                    try found.string(0, 0)
                        == "auth.signing_key r auth.users r oversync_auth.audit v "
                        + "oversync_auth.layout v oversync_auth.signing_key r"
                )
            }
        }
    }

    /// As Auth reads keys.
    private static func keys(
        in schema: String, on connection: PostgresConnection
    ) async throws -> [String] {
        let result = try await connection.run(
            Command(
                Statement(
                    name: "auth_read_keys_\(schema)",
                    sql: """
                        SELECT kid, sealed_private_key, extract(epoch FROM active_from)::float8
                        FROM \(schema).signing_key WHERE retires_at IS NULL OR retires_at > now()
                        ORDER BY active_from, kid
                        """)))
        return try (0..<result.rowCount).map { try result.string($0, 0) }
    }

    /// As Auth makes a key.
    private static func addKey(
        _ kid: String, in schema: String, on connection: PostgresConnection
    ) async throws {
        try await connection.execute(
            script: """
                BEGIN;
                LOCK TABLE \(schema).signing_key IN SHARE ROW EXCLUSIVE MODE;
                INSERT INTO \(schema).signing_key (kid, algorithm, public_key, sealed_private_key)
                VALUES ('\(kid)', 'ES256', 'p', 's');
                COMMIT
                """)
    }

    /// Everything that PostgreSQL knows of the schemas `sync` and `oversync_auth`, a line each.
    ///
    /// - Parameter make: gets a connection to the database, and its address.
    static func describe(
        _ make: @Sendable @escaping (PostgresConnection, String) async throws -> Void
    ) async throws -> [String] {
        try await TestDatabase.withDatabase { url in
            try await connected(to: url) { connection in
                try await make(connection, url)
                let lines = try await connection.run(
                    Command(
                        Statement(
                            name: "describe",
                            sql: """
                                WITH mine AS (
                                    SELECT c.oid, c.relname, c.relkind, n.nspname, c.reloptions FROM pg_class c
                                    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('sync', 'oversync_auth')
                                )
                                SELECT format('%s.%s %s %s', nspname, relname, relkind, reloptions) FROM mine
                                UNION ALL SELECT format('%s.%s.%s %s %s null=%s identity=%s default=%s', nspname, relname,
                                    a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
                                    a.attidentity, pg_get_expr(d.adbin, d.adrelid))
                                FROM mine JOIN pg_attribute a ON a.attrelid = mine.oid AND a.attnum > 0
                                LEFT JOIN pg_attrdef d ON d.adrelid = mine.oid AND d.adnum = a.attnum
                                WHERE relkind IN ('r', 'v')
                                UNION ALL SELECT format('%s.%s %s %s', nspname, relname, k.conname, pg_get_constraintdef(k.oid))
                                FROM mine JOIN pg_constraint k ON k.conrelid = mine.oid
                                UNION ALL SELECT pg_get_indexdef(oid) FROM mine WHERE relkind = 'i'
                                UNION ALL SELECT pg_get_viewdef(oid) FROM mine WHERE relkind = 'v'
                                UNION ALL SELECT pg_get_functiondef(p.oid) FROM pg_proc p
                                JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname IN ('sync', 'oversync_auth')
                                UNION ALL SELECT format('%s %s', p.oid::regprocedure, p.proacl) FROM pg_proc p
                                JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname IN ('sync', 'oversync_auth')
                                UNION ALL SELECT format('%s %s', n.nspname, n.nspacl) FROM pg_namespace n
                                WHERE n.nspname IN ('sync', 'oversync_auth', 'auth')
                                UNION ALL SELECT 'layout ' || layout_version FROM sync.meta
                                """)))
                return try (0..<lines.rowCount).map { try lines.string($0, 0) }
            }
        }
    }
}

/// Lends a connection.
func connected<R: Sendable>(
    to url: String, isolation: isolated (any Actor)? = #isolation,
    _ body: (PostgresConnection) async throws -> R
) async throws -> R {
    let connection = try await PostgresConnection.connect(
        PostgresConfiguration(url: url),
        logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    defer { connection.close() }
    return try await body(connection)
}
