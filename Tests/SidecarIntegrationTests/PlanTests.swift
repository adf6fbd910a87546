import Foundation
import LocalPostgres
import Model
import Postgres
@testable import Sidecar
import Testing
import TestSupport

@Suite("The plan of a migration")
struct PlanTests {
    @Test("A plan for a database without the sidecar changes nothing and has all of it")
    func emptyDatabase() async throws {
        try await PlanFixture.with { database in
            let before = try await database.snapshot()
            let text = try await database.plan().description
            #expect(try await database.snapshot() == before)
            for migration in Migration.all { #expect(text.contains(": \(migration.name)\n")) }
            for id in 1...PlanFixture.registrations.count {
                #expect(text.contains("CREATE OR REPLACE FUNCTION sync.capture_\(id)()"))
                #expect(text.contains("EXECUTE FUNCTION sync.capture_\(id)();"))
            }
            for table in PlanFixture.registrations.map(\.name) {
                #expect(text.contains("-- Registers \(table)\n"))
                #expect(text.contains("-- Captures plain SQL writes to \(table) into"))
            }
            #expect(text.contains("CREATE ROLE \"\(database.prefix)_upload\" LOGIN;"))
            #expect(text.contains("GRANT INSERT ON TABLE \"app\".\"notes\" TO"))
        }
    }

    @Test("A run executes exactly what the plan says, and then there is nothing to do")
    func same() async throws {
        try await PlanFixture.with { database in
            let plan = try await database.plan()
            #expect(try await database.migrate() == plan)
            let after = try await database.snapshot()
            let next = try await database.plan()
            #expect(next.isEmpty)
            #expect(next.description.hasPrefix("-- Nothing to do"))
            #expect(try await database.migrate().isEmpty)
            #expect(try await database.snapshot() == after)
        }
    }

    @Test("A plan of later changes uses up no table number, and shows what ends as well")
    func laterChanges() async throws {
        try await PlanFixture.with { database in
            _ = try await database.migrate(PlanFixture.registrations.dropLast())
            let before = try await database.snapshot()
            let wanted = Array(PlanFixture.registrations.dropFirst())
            let plan = try await database.plan(wanted)
            #expect(try await database.snapshot() == before)
            #expect(try await database.plan(wanted) == plan)
            let text = plan.description
            #expect(text.contains("sync.capture_\(PlanFixture.registrations.count)()"))
            #expect(text.contains("-- No longer registered: app.notes."))
            #expect(text.contains("DROP FUNCTION IF EXISTS sync.capture_1();"))
            #expect(text.contains("REVOKE INSERT ON TABLE \"app\".\"notes\" FROM"))
            #expect(try await database.migrate(wanted) == plan)
        }
    }

    @Test("What psql makes of a plan is what a run makes of a twin of the database")
    func psql() async throws {
        try await PlanFixture.with { database in
            let plan = try await database.plan().script
            try await PlanFixture.with(prefix: database.prefix) { twin in
                let script = plan.replacing(
                    quoted(database.databaseName), with: quoted(twin.databaseName))
                try await twin.psql(script)
                _ = try await database.migrate()
                let (made, planned) = (try await database.snapshot(), try await twin.snapshot())
                #expect(planned.subtracting(made).sorted() == [])
                #expect(made.subtracting(planned).sorted() == [])
                #expect(try await twin.plan().isEmpty)
            }
        }
    }

    @Test("A printed plan is whole, and psql executes nothing of it", arguments: [true, false])
    func review(stopsAtErrors: Bool) async throws {
        try await PlanFixture.with { database in
            let before = try await database.snapshot()
            let text = try await database.plan().description
            #expect(text.hasSuffix("\nCOMMIT;\n\n-- End of the plan."))
            if stopsAtErrors {
                await #expect(throws: (any Error).self) { try await database.psql(text) }
            } else {
                // The error alone would not end psql: the line after it does.
                try await database.psql(text, stopsAtErrors: false)
            }
            #expect(try await database.snapshot() == before)
        }
    }

    @Test("Names that look like comments, or steer a terminal, do neither in a plan")
    func names() throws {
        var plan = MigrationPlan()
        let drop = "DROP TRIGGER t ON app.\"user\n--\""
        plan.append(
            MigrationPlan.Transaction(
                opening: [],
                parts: [
                    .init(purpose: "Trigger on \"a\u{1B}[2J\u{202E}\n\"", sql: drop),
                    .init(purpose: "Password", sql: "-- ALTER ROLE a PASSWORD '********';"),
                ]))
        #expect(plan.script.contains("\n-- Trigger on \"a [2J  \"\n\(drop);\n"))
        #expect(plan.script.contains("\n-- ALTER ROLE a PASSWORD '********';\n\nCOMMIT;"))
    }

    @Test("A plan shows where passwords are set, and none of them")
    func passwords() async throws {
        try await PlanFixture.with { database in
            let plan = try await database.plan(password: "correct horse")
            let text = plan.description
            #expect(!text.contains("correct horse"))
            #expect(!text.contains("SCRAM"))
            #expect(
                text.contains(
                    "\n-- ALTER ROLE \"\(database.prefix)_upload\" PASSWORD '********';\n"))
            #expect(try await database.migrate(password: "correct horse") == plan)
        }
    }

    @Test("A plan waits for no writer of a business table, and stops none")
    func writers() async throws {
        try await PlanFixture.with { database in
            try await connected(to: database.url) { writer in
                try await writer.execute(
                    script: "BEGIN; INSERT INTO app.items VALUES (gen_random_uuid(), 'ada')")
                #expect(try await !database.plan().isEmpty)
                try await writer.execute(script: "COMMIT")
            }
        }
    }

    @Test("A plan that fails says why, and leaves nothing")
    func failure() async throws {
        try await PlanFixture.with { database in
            let before = try await database.snapshot()
            let missing = TableRegistration(name: TableName(schema: "app", table: "missing"))
            await #expect(throws: RegistrationError.self) {
                _ = try await database.plan([missing])
            }
            #expect(try await database.snapshot() == before)
        }
    }

    @Test("Values stand in a planned statement where its parameters were")
    func boundStatement() {
        let statement = Statement(
            name: "s", sql: "SELECT $1, $2::text[], $3, $10, '$', $4",
            parameters: [.text, .textArray, .bool, .text])
        let bound = BoundStatement(
            statement, [.text("it's"), .texts(["a", "b"]), .bool(true), .text(nil)])
        #expect(
            bound.text
                == "SELECT 'it''s'::text, ARRAY['a', 'b']::text[], true::boolean, $10, '$', "
                + "NULL::text"
        )
    }
}

/// A database with business tables and no sidecar, and roles of a name of its own.
private struct PlanFixture: Sendable {
    /// Roles belong to the whole cluster, which tests share.
    let prefix: String
    let url: String
    let databaseName: String

    static let registrations = ["notes", "items", "odd"].map {
        TableRegistration(
            name: TableName(schema: "app", table: $0), owner: $0 == "odd" ? nil : "owner")
    }

    private static let template = DatabaseTemplate(name: "plan") { url in
        try await connected(to: url) { connection in
            try await connection.execute(
                script: """
                    CREATE SCHEMA app;
                    CREATE SCHEMA shared;
                    CREATE DOMAIN shared.title AS text;
                    CREATE TABLE shared.countries (code text PRIMARY KEY);
                    CREATE TABLE app.notes (id uuid PRIMARY KEY, owner text, title shared.title,
                        n serial, country text REFERENCES shared.countries);
                    CREATE TABLE app.items (id uuid PRIMARY KEY, owner text);
                    CREATE TABLE app.odd (
                        "select" text PRIMARY KEY, "it's ""quoted"" here" bytea, ":name" int);
                    """)
        }
    }

    /// - Parameter prefix: that of the twin's roles; nil for one of its own.
    static func with(
        prefix: String? = nil, _ body: (PlanFixture) async throws -> Void
    ) async throws {
        try await TestDatabase.withDatabase(template: template) { url in
            let name = url.split(separator: "/").last?.removingPercentEncoding ?? ""
            try await body(PlanFixture(prefix: prefix ?? name, url: url, databaseName: name))
        }
    }

    func plan(
        _ registrations: [TableRegistration] = registrations, password: String? = nil
    ) async throws -> MigrationPlan {
        try await connected(to: url) { connection in
            try await MigrationRun.rehearse(on: connection) {
                try await steps($0, registrations, password)
            }
        }
    }

    /// - Returns: what was executed.
    func migrate(
        _ registrations: [TableRegistration] = registrations, password: String? = nil
    ) async throws -> MigrationPlan {
        try await connected(to: url) { connection in
            let run = MigrationRun(on: connection)
            try await steps(run, registrations, password)
            return run.plan
        }
    }

    /// What `oversync migrate` does.
    private func steps(
        _ run: MigrationRun, _ registrations: [TableRegistration], _ password: String?
    ) async throws {
        let entries = ServiceRole.allCases.compactMap { purpose in
            RoleName("\(prefix)_\(purpose.rawValue)").map {
                (purpose, RoleRequest.Entry(name: $0, password: password))
            }
        }
        let request = RoleRequest(Dictionary(uniqueKeysWithValues: entries))
        _ = try await Migrator(in: run).migrate()
        _ = try await RoleInstallation(request, in: run).apply()
        try await Registration.apply(registrations, in: run, by: nil)
    }

    /// Executes a script as an operator does.
    func psql(_ script: String, stopsAtErrors: Bool = true) async throws {
        let file = FileManager.default.temporaryDirectory
            .appending(path: "plan-\(prefix).sql").path
        try script.write(toFile: file, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: file) }
        _ = try await LocalPostgres.run(
            program: "psql",
            ["-X", "-q", "-v", "ON_ERROR_STOP=\(stopsAtErrors ? 1 : 0)", "-d", url, "-f", file])
    }

    /// All that a migration could change, a line each.
    func snapshot() async throws -> Set<String> {
        try await connected(to: url) { connection in
            var lines = try await Self.lines(Self.objects(prefix), on: connection)
            if try await Migrator(connection: connection).status().version > 0 {
                lines += try await Self.lines(Self.records, on: connection)
            }
            return Set(lines)
        }
    }

    private static func lines(
        _ query: String, on connection: PostgresConnection
    ) async throws -> [String] {
        let name = "snapshot_\(fingerprint(of: query))"
        let rows = try await connection.run(Command(Statement(name: name, sql: query)))
        return try (0..<rows.rowCount).map { try rows.string($0, 0) }
    }

    private static func objects(_ prefix: String) -> String {
        """
        WITH mine AS (
            SELECT oid, nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)'
        ), relation AS (
            SELECT c.*, n.nspname FROM pg_class c JOIN mine n ON n.oid = c.relnamespace
        )
        SELECT format('schema %s %s', n.nspname, p.nspacl)
        FROM mine n JOIN pg_namespace p USING (oid)
        UNION ALL SELECT format('relation %s.%s %s %s %s', nspname, relname, relkind, reloptions,
            relacl)
        FROM relation
        UNION ALL SELECT format('column %s.%s %s %s %s %s', r.nspname, r.relname, a.attnum,
            a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid))
        FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0
        LEFT JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum
        UNION ALL SELECT pg_get_indexdef(oid) FROM relation WHERE relkind = 'i'
        UNION ALL SELECT format('%s %s', r.relname, pg_get_constraintdef(k.oid))
        FROM relation r JOIN pg_constraint k ON k.conrelid = r.oid
        UNION ALL SELECT format('sequence %s %s', seqrelid::regclass,
            pg_sequence_last_value(seqrelid))
        FROM pg_sequence
        UNION ALL SELECT format('%s %s', pg_get_functiondef(p.oid), p.proacl)
        FROM pg_proc p JOIN mine n ON n.oid = p.pronamespace
        UNION ALL SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t WHERE NOT t.tgisinternal
        UNION ALL SELECT format('role %s %s %s', rolname, rolcanlogin,
            shobj_description(oid, 'pg_authid'))
        FROM pg_roles WHERE rolname ^@ '\(prefix)'
        UNION ALL SELECT format('setting %s %s', s.setrole::regrole, s.setconfig)
        FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
        WHERE d.datname = current_database()
        UNION ALL SELECT format('connect %s', r.rolname) FROM pg_roles r, pg_database d,
            aclexplode(d.datacl) a
        WHERE d.datname = current_database() AND a.grantee = r.oid AND r.rolname ^@ '\(prefix)'
        """
    }

    private static let records = """
        SELECT format('catalog %s', to_jsonb(c)) FROM sync.catalog c
        UNION ALL SELECT format('role %s', r) FROM sync.role r
        UNION ALL SELECT format('grant %s', g) FROM sync.role_grant g
        UNION ALL SELECT format('layout %s', layout_version) FROM sync.meta
        """
}
