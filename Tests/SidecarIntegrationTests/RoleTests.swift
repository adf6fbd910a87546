import Foundation
import LocalPostgres
import Model
import Postgres
@testable import Sidecar
import Testing
import TestSupport

@Suite("The roles that services connect as")
struct RoleTests {
    @Test("Migrate creates four login roles, records them, and does nothing a second time")
    func created() async throws {
        try await RoleFixture.with { database in
            let remarks = try await database.install(RoleFixture.notes)
            #expect(
                remarks
                    == ["auth", "download", "maintenance", "upload"].map {
                        "created role \(database.prefix)_\($0)"
                    })
            #expect(try await database.missing() == [])
            #expect(
                try await database.rows(
                    """
                    SELECT rolname, rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls,
                        shobj_description(oid, 'pg_authid')
                    FROM pg_roles WHERE rolname ^@ '\(database.prefix)_' ORDER BY 1
                    """)
                    == ["auth", "download", "maintenance", "upload"].map {
                        "\(database.prefix)_\($0) t f f f f Created by oversync migrate"
                    })
            #expect(
                try await database.rows("SELECT purpose, name, managed FROM sync.role ORDER BY 1")
                    == ["auth", "download", "maintenance", "upload"].map {
                        "\($0) \(database.prefix)_\($0) t"
                    })
            #expect(try await database.install(RoleFixture.notes) == [])
        }
    }

    @Test("Sessions of created roles have the settings that speed and correctness rest on")
    func settings() async throws {
        try await RoleFixture.with { database in
            try await database.install()
            let shown = """
                SELECT current_setting('jit'), current_setting('enable_seqscan'), current_setting('TimeZone'),
                    current_setting('plan_cache_mode'), current_setting('statement_timeout')
                """
            for (purpose, timeout) in [
                (ServiceRole.upload, "15s"), (.download, "15s"), (.auth, "5s"), (.maintenance, "0"),
            ] {
                #expect(
                    try await database.rows(shown, as: database.name(purpose))
                        == ["off off UTC force_generic_plan \(timeout)"])
            }
        }
    }

    @Test("Roles that were there are granted to and not altered; their password stays theirs")
    func existing() async throws {
        try await RoleFixture.with { database in
            for purpose in ServiceRole.allCases {
                try await database.execute("CREATE ROLE \(database.name(purpose)) LOGIN")
            }
            let remarks = try await database.install(
                RoleFixture.notes, request: database.request(password: "secret"))
            #expect(remarks.count == 8)
            #expect(remarks.filter { $0.contains("granted to, not altered") }.count == 4)
            #expect(remarks.filter { $0.contains("password") }.count == 4)
            #expect(try await database.missing() == [])
            #expect(
                try await database.rows(
                    """
                    SELECT count(*) FILTER (WHERE a.rolpassword IS NOT NULL), count(s.*), count(d.*)
                    FROM pg_authid a LEFT JOIN pg_db_role_setting s ON s.setrole = a.oid
                    LEFT JOIN pg_shdescription d ON d.objoid = a.oid WHERE a.rolname ^@ '\(database.prefix)_'
                    """) == ["0 0 0"])
            #expect(
                try await database.rows("SELECT DISTINCT managed FROM sync.role") == ["f"])
        }
    }

    @Test("An owner who may not create roles is told what an administrator must run")
    func ownerWithoutRights() async throws {
        try await RoleFixture.with { database in
            let owner = "\(database.prefix)_owner"
            try await database.execute(
                """
                CREATE ROLE \(owner) LOGIN;
                ALTER DATABASE \(try Self.name(of: database.url)) OWNER TO \(owner);
                DROP SCHEMA sync, oversync_auth, app CASCADE;
                ALTER SCHEMA shared OWNER TO \(owner); ALTER TABLE shared.countries OWNER TO \(owner);
                ALTER SCHEMA types OWNER TO \(owner);
                """)
            try await database.sql(owner) { connection in
                try await connection.execute(
                    script: """
                        CREATE SCHEMA app;
                        CREATE TABLE app.notes (id uuid PRIMARY KEY, owner text, title types.title, n serial,
                            country text REFERENCES shared.countries)
                        """)
                _ = try await Migrator(connection: connection).migrate()
            }
            let error = await #expect(throws: RoleError.self) {
                try await database.install(RoleFixture.notes, as: owner)
            }
            let text = try #require(error?.description)
            #expect(text.contains("the role \(owner) may not create roles"))
            let statements = text.split(separator: "\n").filter { $0.contains("CREATE ROLE") }
            #expect(statements.count == 4)
            try await database.execute(statements.joined(separator: "\n"))
            let remarks = try await database.install(RoleFixture.notes, as: owner)
            #expect(remarks.count == 4)
            #expect(try await database.missing() == [])
            #expect(
                try await database.rights(of: .upload, in: "app")
                    == ["DELETE", "INSERT", "SELECT", "UPDATE"].map { "app.notes \($0)" })
        }
    }

    @Test(
        "Databases of one cluster that make the same roles at the same time do not disturb each other"
    )
    func concurrent() async throws {
        let shared = "r\(String(UInt32.random(in: 0...UInt32.max), radix: 36))"
        let request = RoleRequest(
            Dictionary(
                uniqueKeysWithValues: ServiceRole.allCases.compactMap { purpose in
                    RoleName("\(shared)_\(purpose.rawValue)").map {
                        (purpose, RoleRequest.Entry(name: $0, password: "\(shared) secret"))
                    }
                }))
        var remarks: [String] = []
        try await withThrowingTaskGroup(of: [String].self) { group in
            for _ in 0..<8 {
                group.addTask {
                    var said: [String] = []
                    try await RoleFixture.with { database in
                        said = try await database.install(RoleFixture.notes, request: request)
                        #expect(try await database.missing() == [])
                    }
                    return said
                }
            }
            for try await said in group { remarks += said }
        }
        #expect(
            remarks.sorted() == ServiceRole.allCases.map { "created role \(shared)_\($0)" }.sorted()
        )
    }

    @Test("A password reaches the server encrypted: its log has it nowhere")
    func password() async throws {
        var settings = TestDatabase.testSettings
        settings["log_statement"] = "all"
        try await TestDatabase.withCluster(settings: settings) { cluster in
            let secret = "clear-\(UInt64.random(in: 0...UInt64.max))"
            try await connected(to: cluster.connectionURL()) { connection in
                _ = try await Migrator(connection: connection).migrate()
                _ = try await RoleInstallation(
                    RoleRequest([.upload: .init(password: secret)]), connection: connection
                ).apply()
                let stored = try await connection.run(
                    Command(
                        Statement(
                            name: "stored",
                            sql: """
                                SELECT rolname, left(rolpassword, 14) FROM pg_authid
                                WHERE rolname ^@ 'oversync_' ORDER BY 1
                                """)))
                #expect(stored.rowCount == 4)
                #expect(try stored.optionalString(0, 1) == nil)
                #expect(try stored.string(3, 1) == "SCRAM-SHA-256$")
            }
            let log = try String(contentsOfFile: cluster.directory + "/server.log", encoding: .utf8)
            #expect(log.contains("ALTER ROLE \"oversync_upload\" PASSWORD 'SCRAM"))
            #expect(!log.contains(secret))
        }
    }

    @Test(
        "A name that is no sane role is refused",
        arguments: [
            "", "pg_monitor", "public", "a b", "x\"y", "1st", String(repeating: "a", count: 64),
        ])
    func names(name: String) {
        #expect(RoleName(name) == nil)
        #expect(RoleName("app-sync.v2@team") != nil)
    }

    private static func name(of url: String) throws -> String {
        try PostgresConfiguration(url: url).keywords["dbname"] ?? ""
    }
}
