@testable import DatabaseKit
@testable import DownloadService
import Foundation
import LocalPostgres
import Model
import Postgres
import ServiceKit
import Telemetry
@testable import Sidecar
import Testing
import TestSupport
@testable import UploadService

@Suite("What keeps a service from using its database is found and named")
struct DatabaseProbeTests {
    /// A probe as Upload has it.
    private static func probe(
        _ configuration: PostgresConfiguration, _ source: CatalogSource? = nil
    ) throws -> DatabaseProbe {
        let logger = SyncedDatabase.logger
        let pool = PostgresPool(
            configuration, pool: try PoolConfiguration(outageBridge: .zero), logger: logger)
        let connection = PostgresPool(
            configuration,
            pool: try PoolConfiguration(maximumConnections: 1, outageBridge: .zero), logger: logger)
        let source = source ?? CatalogSource(pool: pool, logger: logger)
        var needs = UploadPrivileges.needs(
            source, TableTroubles(metrics: MetricsRegistry(), logger: SyncedDatabase.logger))
        // Nobody reads the catalog again here, however long a test takes.
        needs.remembered = { [] }
        return DatabaseProbe(
            connection: connection, pool: pool, configuration: configuration, needs: needs)
    }

    private static func problem(_ configuration: PostgresConfiguration) async throws -> String {
        let problems = try await probe(configuration).problems()
        #expect(problems.allSatisfy { $0.isBlocking })
        #expect(problems.count == 1, "\(problems)")
        return problems.first?.text ?? ""
    }

    private static func withRole(
        _ body: (SyncedDatabase, GrantedRole, DatabaseProbe) async throws -> Void
    ) async throws {
        try await SyncedDatabase.with { database in
            let tables = try await database.source.catalog().tables
            let privileges =
                UploadPrivileges.sidecar + Set(tables.flatMap(UploadPrivileges.business))
            try await GrantedRole.with(in: database, granting: privileges) { role in
                try await body(
                    database, role, try probe(try role.configuration, database.source))
            }
        }
    }

    @Test("A privilege missing on the sidecar is blocking; granted, it is no problem any more")
    func sidecar() async throws {
        try await Self.withRole { _, role, probe in
            #expect(await probe.problems() == [])
            for privilege in UploadPrivileges.sidecar.flatMap(\.single) {
                try await role.revoke(privilege)
                let problems = await probe.problems()
                #expect(
                    problems == [
                        .blocking(
                            "the role \(role.name) lacks \(privilege): grant it, or run oversync migrate"
                        )
                    ])
                try await role.grant(privilege)
            }
            #expect(await probe.problems() == [])
        }
    }

    @Test(
        "A privilege missing on one business table degrades and names it; on its schema, all of its tables"
    )
    func business() async throws {
        try await Self.withRole { _, role, probe in
            let notes = RequiredPrivileges(schema: "s", table: "notes", [.update])
            try await role.revoke(notes)
            let problems = await probe.problems()
            #expect(problems.count == 1)
            #expect(problems.first?.isBlocking == false)
            #expect(problems.first?.text.contains("uploads to s.notes fail") == true)
            #expect(problems.first?.text.contains("UPDATE on s.notes") == true)
            #expect(problems.first?.text.contains(role.name) == true)
            try await role.grant(notes)
            try await role.revoke(RequiredPrivileges(schema: "s"))
            let all = await probe.problems()
            #expect(all.count == SyncedDatabase.registrations.count)
            #expect(all.allSatisfy { !$0.isBlocking && $0.text.contains("USAGE on schema s") })
        }
    }

    /// A table that takes rights beyond its own: on a parent that is not registered, on the
    /// sequence of a default, and on the schema of a type.
    private static let cities = """
        CREATE SCHEMA away; CREATE SCHEMA numbers; CREATE SCHEMA types;
        CREATE TABLE away.countries (code text PRIMARY KEY);
        INSERT INTO away.countries VALUES ('at');
        CREATE SEQUENCE numbers.next;
        CREATE DOMAIN types.title AS text;
        CREATE TABLE s.cities (id uuid PRIMARY KEY, owner text, title types.title,
            n bigint NOT NULL DEFAULT nextval('numbers.next'),
            country text REFERENCES away.countries);
        """

    @Test(
        "Each right that migrate grants beside a table is asked for, and the table is named",
        arguments: [
            ("SELECT ON away.countries", "SELECT on away.countries"),
            ("USAGE ON SCHEMA away", "USAGE on schema away"),
            ("USAGE ON SEQUENCE numbers.next", "USAGE on numbers.next"),
            ("USAGE ON SCHEMA types", "USAGE on schema types"),
        ])
    func dependencies(right: String, words: String) async throws {
        try await SyncedDatabase.with(
            tables: Self.cities, registered: "  - {table: s.cities, owner: owner}"
        ) { database in
            let role = ServiceRole.upload.defaultName
            try await database.source.refresh()
            var configuration = try PostgresConfiguration(url: database.url)
            configuration.keywords["user"] = role
            let probe = try Self.probe(configuration, database.source)
            #expect(await probe.problems() == [])

            try await database.execute("REVOKE \(right) FROM \(role)")
            let told = ReadinessProblem.degrading(
                "uploads to s.cities fail: the role \(role) lacks \(words): "
                    + "grant it, or run oversync migrate")
            #expect(await probe.problems() == [told])
            let city = change(
                1, "INSERT", "cities", id("1"), #"{"title":"Wien","country":"at"}"#)
            #expect(try await database.outcomes("ann", city) == ["materialize_error 42501"])

            _ = try await RoleInstallation(connection: database.sql).apply()
            #expect(await probe.problems() == [])
            #expect(try await database.outcomes("ann", city) == ["applied 1"])
        }
    }

    @Test("The layout of the code and the next one are served, others not")
    func layout() async throws {
        try await Self.withRole { database, _, probe in
            let current = Migration.currentVersion
            for (version, words) in [
                (current - 1, "run oversync migrate"), (current + 2, "this program is too old"),
            ] {
                try await database.execute("UPDATE sync.meta SET layout_version = \(version)")
                let problem = try #require(await probe.problems().first)
                #expect(problem.isBlocking)
                #expect(problem.text.contains("has layout \(version)"))
                #expect(problem.text.contains(words))
            }
            for version in [current + 1, current] {
                try await database.execute("UPDATE sync.meta SET layout_version = \(version)")
                #expect(await probe.problems() == [])
            }
        }
    }

    @Test("A database that takes no writes is of no use to Upload")
    func readOnly() async throws {
        try await Self.withRole { _, role, _ in
            var configuration = try role.configuration
            configuration.sessionSettings["default_transaction_read_only"] = "on"
            let problem = try await Self.problem(configuration)
            #expect(
                problem.contains("default_transaction_read_only is on for the role \(role.name)"))
        }
    }

    @Test("A database without the sidecar asks for oversync migrate")
    func empty() async throws {
        try await TestDatabase.withDatabase { url in
            let problem = try await Self.problem(try PostgresConfiguration(url: url))
            #expect(problem.contains("run oversync migrate"))
            #expect(problem.contains("schema sync"))
        }
    }

    @Test("H14: readiness is told without any table that grows")
    func tables() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", change(1, "INSERT", "notes", id("a1"), "{}"))
            let tables = try await database.value(
                """
                SELECT string_agg(format('%I.%I', schemaname, tablename), ', ') FROM pg_tables
                WHERE schemaname IN ('sync', 's') AND tablename NOT IN ('meta', 'catalog')
                """)
            let probe = try Self.probe(PostgresConfiguration(url: database.url), database.source)
            try await database.execute(
                "BEGIN; LOCK TABLE \(try #require(tables)) IN ACCESS EXCLUSIVE MODE")
            #expect(await probe.problems() == [])
            try await database.execute("ROLLBACK; BEGIN; LOCK TABLE sync.meta")
            // Waits for the lock: it does ask the database.
            #expect(
                await probe.problems() == [.blocking("does not answer within 600 ms")])
            try await database.execute("ROLLBACK")
            #expect(await probe.problems() == [])
        }
    }

    @Test("Each way not to get in has its own words, and none of them has the password")
    func connecting() async throws {
        try await TestDatabase.withCluster { cluster in
            let url = cluster.connectionURL()
            let base = try PostgresConfiguration(url: url)
            let admin = try await SyncedDatabase.connect(url)
            defer { admin.close() }
            func problem(_ change: (inout PostgresConfiguration) -> Void) async throws -> String {
                var configuration = base
                configuration.keywords["password"] = "hunter2"
                change(&configuration)
                let problem = try await Self.problem(configuration)
                #expect(!problem.contains("hunter2"))
                return problem
            }
            try await admin.execute(
                script: """
                    CREATE ROLE app LOGIN PASSWORD 'another';
                    CREATE ROLE crowd LOGIN CONNECTION LIMIT 0;
                    """)
            try await admin.execute(script: "CREATE DATABASE closed")
            try await admin.execute(script: "REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
            #expect(
                try await problem { $0.keywords["dbname"] = "nowhere" }.contains(
                    "has no database nowhere"))
            #expect(
                try await problem { $0.keywords["user"] = "nobody" }
                    .contains("does not let the role nobody in (SQLSTATE 28000)"))
            #expect(
                try await problem { $0.keywords["user"] = "crowd" }.contains(
                    "takes no more connections"))
            let refused = try await problem {
                $0.keywords["user"] = "app"
                $0.keywords["dbname"] = "closed"
            }
            #expect(refused.contains("the role app may not connect to the database closed"))
            try await Self.askForPasswords(admin)
            // The server reads its rules again some time after it was told to.
            let end = ContinuousClock.now + .seconds(30)
            func wrongPassword() async throws -> Bool {
                let problems = try await Self.probe(Self.role("app", base)).problems()
                #expect(!problems.contains { $0.text.contains("hunter2") })
                return problems.first?.text
                    .contains("does not let the role app in (SQLSTATE 28P01)") == true
            }
            while try await !wrongPassword() { try #require(.now < end) }
            try await cluster.stop()
            #expect(try await problem { _ in }.contains("nothing listens at"))
        }
    }

    /// From now on the role `app` has to know its password.
    private static func askForPasswords(_ admin: PostgresConnection) async throws {
        let show = Command(Statement(name: "hba", sql: "SHOW hba_file"))
        let file = try await admin.run(show).string(0, 0)
        let rules = try String(contentsOfFile: file, encoding: .utf8)
        try ("local all app scram-sha-256\n" + rules).write(
            toFile: file, atomically: false, encoding: .utf8)
        try await admin.execute(script: "SELECT pg_reload_conf()")
    }

    private static func role(_ name: String, _ base: PostgresConfiguration) -> PostgresConfiguration
    {
        var configuration = base
        configuration.keywords["user"] = name
        configuration.keywords["password"] = "hunter2"
        return configuration
    }
}

@Suite("Download's heads")
struct HeadsReadinessTests {
    @Test(
        "Heads are a problem before the first poll, and when polls have failed for longer than they are good"
    )
    func heads() async throws {
        try await SyncedDatabase.with { database in
            #expect(database.heads.problem() == "not read yet")
            await database.heads.poll()
            #expect(database.heads.problem() == nil)
            let later = ContinuousClock.now + ScopeHeads.freshness + .milliseconds(1)
            #expect(database.heads.problem(now: later)?.contains("more than 2000 ms") == true)
            // A poll that fails is none.
            _ = database.heads.known(UserID("ann"), for: DeviceID("phone"))
            try await database.execute("ALTER TABLE sync.scope RENAME TO hidden")
            await database.heads.poll()
            #expect(database.heads.problem(now: later) != nil)
            try await database.execute("ALTER TABLE sync.hidden RENAME TO scope")
            await database.heads.poll()
            #expect(database.heads.problem() == nil)
        }
    }
}
