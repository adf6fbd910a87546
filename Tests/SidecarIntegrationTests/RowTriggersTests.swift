import Model
import Postgres
@testable import Sidecar
import Testing
import TestSupport

@Suite("Tables whose rows a trigger can change before they are stored")
struct RowTriggersTests {
    /// Tables of many shapes, each with the table that the trigger is on.
    private static let tables: [(sql: String, on: String)] = [
        ("CREATE TABLE s.t (id uuid PRIMARY KEY, owner text)", "s.t"),
        // Parts of partitioned tables.
        (
            """
            CREATE TABLE s.t (id uuid, owner text, PRIMARY KEY (owner, id))
                PARTITION BY LIST (owner);
            CREATE TABLE s.part PARTITION OF s.t DEFAULT
            """, "s.part"
        ),
        (
            """
            CREATE TABLE s.t (id uuid, owner text, PRIMARY KEY (owner, id))
                PARTITION BY LIST (owner);
            CREATE TABLE s.middle PARTITION OF s.t DEFAULT PARTITION BY HASH (id);
            CREATE TABLE s.part PARTITION OF s.middle FOR VALUES WITH (modulus 1, remainder 0)
            """, "s.part"
        ),
        // Tables that inherit.
        (
            """
            CREATE TABLE s.t (id uuid PRIMARY KEY, owner text);
            CREATE TABLE s.child () INHERITS (s.t)
            """, "s.child"
        ),
        (
            """
            CREATE TABLE s.t (id uuid PRIMARY KEY, owner text);
            CREATE TABLE s.child (more int) INHERITS (s.t);
            CREATE TABLE s.grandchild () INHERITS (s.child)
            """, "s.grandchild"
        ),
        (
            """
            CREATE TABLE s.t (id uuid PRIMARY KEY, owner text);
            CREATE TABLE s.aside (n int);
            CREATE TABLE s.one () INHERITS (s.t);
            CREATE TABLE s.other () INHERITS (s.t);
            CREATE TABLE s.both () INHERITS (s.one, s.other, s.aside)
            """, "s.both"
        ),
        // A schema and a name that SQL must quote.
        (
            """
            CREATE SCHEMA "Far";
            CREATE TABLE s.t (id uuid PRIMARY KEY, owner text);
            CREATE TABLE "Far"."a table" () INHERITS (s.t)
            """, #""Far"."a table""#
        ),
    ]

    /// A trigger, and whether it can change its table's rows.
    private static let triggers: [(sql: String, counts: Bool)] = [
        ("BEFORE INSERT OR UPDATE ON %@ FOR EACH ROW", true),
        ("BEFORE UPDATE ON %@ FOR EACH ROW WHEN (old.owner <> new.owner)", true),
        ("BEFORE DELETE ON %@ FOR EACH ROW", false),
        ("AFTER INSERT OR UPDATE ON %@ FOR EACH ROW", false),
        ("BEFORE INSERT OR UPDATE ON %@ FOR EACH STATEMENT", false),
    ]

    private static func hasRowTriggers(_ connection: PostgresConnection) async throws -> Bool {
        try await table(connection).hasRowTriggers
    }

    private static func table(_ connection: PostgresConnection) async throws -> RegisteredTable {
        let tables = try await Catalog.readTables(on: connection)
        return try #require(tables.first { $0.name.table == "t" })
    }

    @Test("Also one of a part, at any depth", arguments: tables.indices)
    func parts(_ index: Int) async throws {
        let table = Self.tables[index]
        try await TestDatabase.withDatabase { url in
            try await connected(to: url) { connection in
                try await connection.execute(
                    script: """
                        CREATE SCHEMA s;
                        CREATE TABLE s.stranger (id uuid PRIMARY KEY, owner text);
                        \(table.sql);
                        CREATE FUNCTION s.change() RETURNS trigger LANGUAGE plpgsql
                            AS 'BEGIN RETURN new; END';
                        CREATE TRIGGER away BEFORE INSERT OR UPDATE ON s.stranger
                            FOR EACH ROW EXECUTE FUNCTION s.change();
                        """)
                _ = try await Migrator(connection: connection).migrate()
                try await Registration.apply(
                    try RegistrationFile.parse("tables:\n  - {table: s.t, owner: owner}"),
                    on: connection)
                #expect(try await !Self.hasRowTriggers(connection))
                for trigger in Self.triggers {
                    let definition = trigger.sql.replacing("%@", with: table.on)
                    try await connection.execute(
                        script: "CREATE TRIGGER own \(definition) EXECUTE FUNCTION s.change()")
                    #expect(
                        try await Self.hasRowTriggers(connection) == trigger.counts, "\(definition)"
                    )
                    #expect(try await Self.table(connection).reach.hasTriggers, "\(definition)")
                    if trigger.counts {
                        try await connection.execute(
                            script: "ALTER TABLE \(table.on) DISABLE TRIGGER own")
                        #expect(try await !Self.hasRowTriggers(connection), "\(definition)")
                        #expect(try await !Self.table(connection).reach.hasTriggers)
                    }
                    try await connection.execute(script: "DROP TRIGGER own ON \(table.on)")
                }
            }
        }
    }

    @Test("No longer that of a table which has left")
    func left() async throws {
        try await TestDatabase.withDatabase { url in
            try await connected(to: url) { connection in
                try await connection.execute(
                    script: """
                        CREATE SCHEMA s;
                        CREATE TABLE s.t (id uuid PRIMARY KEY, owner text);
                        CREATE TABLE s.child () INHERITS (s.t);
                        CREATE FUNCTION s.change() RETURNS trigger LANGUAGE plpgsql
                            AS 'BEGIN RETURN new; END';
                        CREATE TRIGGER own BEFORE INSERT ON s.child
                            FOR EACH ROW EXECUTE FUNCTION s.change();
                        """)
                _ = try await Migrator(connection: connection).migrate()
                try await Registration.apply(
                    try RegistrationFile.parse("tables:\n  - {table: s.t, owner: owner}"),
                    on: connection)
                #expect(try await Self.hasRowTriggers(connection))
                try await connection.execute(script: "ALTER TABLE s.child NO INHERIT s.t")
                #expect(try await !Self.hasRowTriggers(connection))
            }
        }
    }
}
