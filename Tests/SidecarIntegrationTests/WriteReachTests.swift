import Model
import Postgres
import Testing
import TestSupport

@testable import Sidecar

@Suite("What writes of a table may do, or meet, beyond the rows that they name")
struct WriteReachTests {
    /// What stands on the table, and whether its rows may exclude each other.
    private static let tables: [(sql: String, compares: Bool)] = [
        (
            "CREATE TABLE s.t (id uuid PRIMARY KEY, owner text, n int); CREATE INDEX ON s.t (n)",
            false
        ),
        (
            "CREATE TABLE s.t (id uuid PRIMARY KEY, owner text, n int, UNIQUE (owner, id))",
            false
        ),
        ("CREATE TABLE s.t (id uuid PRIMARY KEY, owner text, n int UNIQUE)", true),
        ("CREATE TABLE s.t (id uuid PRIMARY KEY, owner text, n int, UNIQUE (owner, n))", true),
        (
            """
            CREATE TABLE s.t (id uuid PRIMARY KEY, owner text, n int);
            CREATE UNIQUE INDEX ON s.t (owner) WHERE n > 0
            """, true
        ),
        (
            """
            CREATE TABLE s.t (id uuid PRIMARY KEY, owner text, n int);
            CREATE UNIQUE INDEX ON s.t ((n % 10))
            """, true
        ),
        // A column that an index only carries does not tell its rows apart.
        (
            """
            CREATE TABLE s.t (id uuid PRIMARY KEY, owner text, n int);
            CREATE UNIQUE INDEX ON s.t (n) INCLUDE (id)
            """, true
        ),
        (
            """
            CREATE TABLE s.t (id uuid PRIMARY KEY, owner text, n int,
                EXCLUDE USING btree (n WITH =))
            """, true
        ),
        (
            """
            CREATE TABLE s.t (id uuid, owner text, n int, PRIMARY KEY (owner, id))
                PARTITION BY LIST (owner);
            CREATE TABLE s.part PARTITION OF s.t DEFAULT;
            """, false
        ),
        (
            """
            CREATE TABLE s.t (id uuid, owner text, n int, PRIMARY KEY (owner, id))
                PARTITION BY LIST (owner);
            CREATE TABLE s.part PARTITION OF s.t DEFAULT;
            CREATE UNIQUE INDEX ON s.part (n)
            """, true
        ),
    ]

    @Test("Unique values beside the key, also of a part", arguments: tables.indices)
    func comparisons(_ index: Int) async throws {
        let table = Self.tables[index]
        try await TestDatabase.withDatabase { url in
            try await connected(to: url) { connection in
                try await connection.execute(script: "CREATE SCHEMA s; \(table.sql)")
                _ = try await Migrator(connection: connection).migrate()
                try await Registration.apply(
                    try RegistrationFile.parse("tables:\n  - {table: s.t, owner: owner}"),
                    on: connection)
                let found = try await Catalog.readTables(on: connection)
                // The sidecar's own triggers are none.
                let wanted = WriteReach(hasTriggers: false, comparesRows: table.compares)
                #expect(found.map(\.reach) == [wanted])
            }
        }
    }
}
