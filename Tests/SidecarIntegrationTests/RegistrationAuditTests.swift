import Logging
import Model
import Postgres
import Sidecar
import Testing
import TestSupport

@Suite("The audit of registrations")
struct RegistrationAuditTests {
    private static let yaml = "tables:\n  - {table: s.a, owner: owner}\n"

    @Test(
        "Each table that changes has a row with what was and what is; a table that does not, none")
    func changes() async throws {
        try await TestDatabase.withDatabase { url in
            let connection = try await PostgresConnection.connect(
                PostgresConfiguration(url: url),
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            defer { connection.close() }
            try await connection.execute(
                script: """
                    CREATE SCHEMA s;
                    CREATE TABLE s.a (id uuid PRIMARY KEY, owner text, secret text);
                    CREATE TABLE s.b (id uuid PRIMARY KEY, owner text);
                    """)
            _ = try await Migrator(connection: connection).migrate()

            func register(_ yaml: String) async throws -> [String] {
                let first = try await connection.rows(
                    Command(
                        Statement(
                            name: "last", sql: "SELECT coalesce(max(id), 0) FROM sync.audit")),
                    of: Int64.self
                ).one()
                try await Registration.apply(
                    try RegistrationFile.parse(yaml), in: MigrationRun(on: connection),
                    by: .session(on: "ops@box"))
                var bindings = Bindings()
                bindings.bind(first)
                return try await connection.rows(
                    Command(
                        Statement(
                            name: "since",
                            sql: """
                                SELECT concat_ws(' ', action, target, details->>'before',
                                    details->>'after')
                                FROM sync.audit WHERE id > $1 AND host = 'ops@box' ORDER BY id
                                """, parameters: [.int8]), bindings), of: String.self
                ).all()
            }

            let new = try await register(Self.yaml)
            #expect(new.count == 1)
            #expect(new.first?.hasPrefix("registration.change s.a {\"registered\":true,") == true)
            #expect(try await register(Self.yaml) == [])
            #expect(
                try await register(
                    "tables:\n  - {table: s.a, owner: owner, write: [clerk], except: [secret]}\n")
                    == [
                        #"registration.change s.a {"write":null,"except":null} "#
                            + #"{"write":["clerk"],"except":["secret"]}"#
                    ])
            let moved = try await register("tables:\n  - {table: s.b, owner: owner}\n")
            #expect(
                moved.contains(
                    #"registration.change s.a {"registered":true} {"registered":false}"#))
            #expect(moved.count == 2)
        }
    }
}
