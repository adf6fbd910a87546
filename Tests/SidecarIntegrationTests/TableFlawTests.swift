import Model
import Postgres
@testable import Sidecar
import Testing
import TestSupport

@Suite("Tables that can never work are refused by name, all at once, with what to do")
struct TableFlawTests {
    private static let tables = """
        CREATE EXTENSION citext SCHEMA public;
        CREATE EXTENSION file_fdw SCHEMA public;
        CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
        CREATE SCHEMA s;
        CREATE COLLATION s.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        CREATE DOMAIN s.code AS char(3);
        CREATE DOMAIN s.codes AS s.code;
        CREATE DOMAIN s.folded AS text COLLATE s.ci;
        CREATE DOMAIN s.present AS text NOT NULL;
        CREATE DOMAIN s.given AS s.present;
        CREATE TABLE s.good (id uuid PRIMARY KEY, owner text);
        CREATE UNIQUE INDEX some_rows ON s.good (id) WHERE owner = 'ann';
        CREATE TABLE s.given_key (id s.given UNIQUE, owner text);
        CREATE TABLE s.owned (owner text, id varchar(20) NOT NULL, n int, UNIQUE (owner,
            id) INCLUDE (n));
        CREATE TABLE s.halves (id uuid NOT NULL, owner text, PRIMARY KEY (owner, id))
            PARTITION BY LIST (owner);
        CREATE TABLE s.half PARTITION OF s.halves FOR VALUES IN ('a') PARTITION BY HASH (id);
        CREATE TABLE s.quarter PARTITION OF s.half FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE s.elder (id uuid PRIMARY KEY, owner text);
        CREATE TABLE s.younger (PRIMARY KEY (id)) INHERITS (s.elder);

        CREATE VIEW s.shown AS SELECT * FROM s.good;
        CREATE MATERIALIZED VIEW s.kept AS SELECT * FROM s.good;
        CREATE FOREIGN TABLE s.far (id text, owner text) SERVER files
            OPTIONS (filename '/dev/null');
        CREATE UNLOGGED TABLE s.unlogged (id uuid PRIMARY KEY, owner text);
        CREATE TABLE s.ruled (id uuid PRIMARY KEY, owner text, note text);
        CREATE RULE twice AS ON UPDATE TO s.ruled DO ALSO NOTHING;
        CREATE TABLE s.quiet (id uuid PRIMARY KEY, owner text);
        CREATE RULE silent AS ON DELETE TO s.quiet DO INSTEAD NOTHING;
        ALTER TABLE s.quiet DISABLE RULE silent;
        CREATE TABLE s.made (source text, owner text,
            id text GENERATED ALWAYS AS (source || '!') STORED PRIMARY KEY);
        CREATE TABLE s.counted (id uuid PRIMARY KEY, owner bigint GENERATED ALWAYS AS IDENTITY);
        CREATE TABLE s.nullable (id uuid UNIQUE, owner text);
        CREATE TABLE s.one_null (id uuid UNIQUE NULLS NOT DISTINCT, owner text);
        CREATE TABLE s.folding (id text COLLATE s.ci PRIMARY KEY, owner text);
        CREATE TABLE s.folding_domain (id s.folded PRIMARY KEY, owner text);
        CREATE TABLE s.folding_owner (id text PRIMARY KEY, owner text COLLATE s.ci);
        CREATE TABLE s.citext_owner (id text PRIMARY KEY, owner public.citext);
        CREATE TABLE s.citext_key (id public.citext PRIMARY KEY, owner text);
        CREATE TABLE s.folding_index (id text PRIMARY KEY, owner text);
        CREATE UNIQUE INDEX folds ON s.folding_index (id COLLATE s.ci);
        CREATE TABLE s.padded (id char(3) PRIMARY KEY, owner text);
        CREATE TABLE s.padded_domain (id s.codes PRIMARY KEY, owner text);
        CREATE TABLE s.partial (id uuid NOT NULL, owner text);
        CREATE UNIQUE INDEX half_of ON s.partial (id) WHERE owner IS NOT NULL;
        CREATE TABLE s.computed (id text NOT NULL, owner text);
        CREATE UNIQUE INDEX lowered ON s.computed (lower(id));
        CREATE TABLE s.late (id uuid, owner text, CONSTRAINT at_last PRIMARY KEY (id) DEFERRABLE);
        CREATE TABLE s.late_too (id uuid PRIMARY KEY, owner text,
            CONSTRAINT again UNIQUE (id) DEFERRABLE);
        CREATE TABLE s.wide (id uuid NOT NULL, n int NOT NULL, owner text,
            CONSTRAINT both_of PRIMARY KEY (id, n));
        CREATE TABLE s.beside (id uuid NOT NULL, n int UNIQUE, owner text, UNIQUE (n) INCLUDE (id));
        CREATE TABLE s.broken (id text NOT NULL, owner text);
        """

    /// What a failed CREATE INDEX CONCURRENTLY leaves: it cannot run in a script with other
    /// statements.
    private static let broken = [
        "INSERT INTO s.broken VALUES ('a'), ('a')",
        "CREATE UNIQUE INDEX CONCURRENTLY torn ON s.broken (id)",
    ]

    private static let template = DatabaseTemplate(name: "table_flaws") { url in
        try await connected(to: url) { connection in
            try await connection.execute(script: tables)
            for statement in broken { try? await connection.execute(script: statement) }
            _ = try await Migrator(connection: connection).migrate()
        }
    }

    /// A table, how it is registered beyond its owner, and what the refusal must say.
    static let refusals: [(table: String, more: String, says: [String])] = [
        ("shown", "", ["s.shown is a view", "register the table"]),
        ("kept", "", ["s.kept is a materialized view"]),
        ("far", "", ["s.far is a foreign table"]),
        ("unlogged", "", ["s.unlogged is unlogged", #"ALTER TABLE "s"."unlogged" SET LOGGED"#]),
        ("ruled", "", ["s.ruled has the rewrite rule", #"DROP RULE "twice" ON "s"."ruled""#]),
        ("quiet", "", ["s.quiet has the rewrite rule", #"DROP RULE "silent""#]),
        ("half", ", key: id", ["s.half is a partition", "register s.halves"]),
        ("quarter", ", key: id", ["s.quarter is a partition", "register s.halves"]),
        ("younger", "", ["s.younger inherits from s.elder", "NO INHERIT"]),
        ("made", "", ["s.made.key", #""id" is generated"#, "DEFAULT"]),
        ("counted", "", ["s.counted.owner", #""owner" is generated"#]),
        (
            "nullable", ", key: id",
            ["s.nullable.key", "may be NULL", #"ALTER COLUMN "id" SET NOT"#]
        ),
        ("one_null", ", key: id", ["s.one_null.key", "may be NULL"]),
        ("folding", "", ["s.folding.key", #""id""#, "nondeterministic", #"COLLATE "C""#]),
        ("folding_domain", "", ["s.folding_domain.key", "nondeterministic"]),
        ("folding_owner", "", ["s.folding_owner.owner", "users would share rows"]),
        ("citext_owner", "", ["s.citext_owner.owner", "citext"]),
        ("citext_key", "", ["s.citext_key.key", "citext", "keys are uuid, text, smallint"]),
        ("folding_index", "", ["s.folding_index.key", #"unique index "folds""#]),
        ("padded", "", ["s.padded.key", "char(n)", #"ALTER COLUMN "id" TYPE text"#]),
        ("padded_domain", "", ["s.padded_domain.key", "char(n)"]),
        ("partial", ", key: id", ["s.partial.key", #""half_of" covers only some rows"#]),
        ("computed", ", key: id", ["s.computed.key", #""lowered" is on an expression"#]),
        ("late", "", ["s.late.key", #""at_last" is deferrable"#]),
        ("late_too", "", ["s.late_too.key", #""again" is deferrable"#]),
        ("wide", ", key: id", ["s.wide.key", #""both_of" has further columns"#]),
        ("beside", ", key: id", ["s.beside.key", "needs a primary key or unique index"]),
        ("broken", ", key: id", ["s.broken.key", #""torn" is invalid"#]),
    ]

    private static func registrations(
        _ entries: [(table: String, more: String)]
    ) throws -> [TableRegistration] {
        let lines = entries.map { "  - {table: s.\($0.table), owner: owner\($0.more)}" }
        return try RegistrationFile.parse("tables:\n" + lines.joined(separator: "\n"))
    }

    private static func with(_ body: (PostgresConnection) async throws -> Void) async throws {
        try await TestDatabase.withDatabase(template: template) { url in
            try await connected(to: url) { try await body($0) }
        }
    }

    @Test("Each kind is named with its column or object, and one run names them all")
    func refused() async throws {
        try await Self.with { connection in
            let wanted = try Self.registrations(Self.refusals.map { ($0.table, $0.more) })
            let error = await #expect(throws: RegistrationError.self) {
                try await Registration.apply(wanted, on: connection)
            }
            let lines = try #require(error).description.split(separator: "\n")
            for refusal in Self.refusals {
                // `s.late` is not `s.late_too`.
                let own = lines.filter {
                    $0.hasPrefix("s.\(refusal.table).") || $0.hasPrefix("s.\(refusal.table) ")
                }.joined(separator: "\n")
                for words in refusal.says {
                    #expect(own.contains(words), "\(words) not in \(own)")
                }
            }
            #expect(try await Catalog.readTables(on: connection).isEmpty)
        }
    }

    @Test("Shapes that look like these and work are registered")
    func accepted() async throws {
        try await Self.with { connection in
            let wanted = try Self.registrations([
                ("good", ""), ("given_key", ", key: id"), ("owned", ", key: id"),
                ("halves", ""), ("elder", ""),
            ])
            let remarks = try await Registration.apply(wanted, on: connection)
            #expect(remarks.count == 1)
            #expect(remarks.first?.hasPrefix("s.elder has tables that inherit from it") == true)
        }
    }

    @Test("A char(n) that refers to a text key is registered, and mentioned")
    func paddedReference() async throws {
        try await Self.with { connection in
            try await connection.execute(
                script: """
                    CREATE TABLE s.lands (code text PRIMARY KEY, owner text);
                    CREATE TABLE s.towns (id uuid PRIMARY KEY, owner text,
                        land char(3) REFERENCES s.lands, other text REFERENCES s.lands);
                    """)
            let wanted = try Self.registrations([("lands", ""), ("towns", "")])
            let remarks = try await Registration.apply(wanted, on: connection)
            #expect(remarks.count == 1)
            #expect(remarks.first?.hasPrefix("s.towns.\"land\" is char(n)") == true)
            // It may do no harm, and degrades no service.
            let tables = try await Catalog.readTables(on: connection)
            #expect(try await TableFlaw.read(tables, on: connection) == [])
        }
    }

    @Test("A table of Oversync's own, and a temporary one, cannot be registered")
    func otherSchemas() async throws {
        try await Self.with { connection in
            try await connection.execute(
                script: "CREATE TEMPORARY TABLE brief (id uuid PRIMARY KEY, owner text)")
            let schema = try await connection.run(
                Command(
                    Statement(name: "schema", sql: "SELECT pg_my_temp_schema()::regnamespace::text")
                )
            ).string(0, 0)
            let wanted = ["sync.scope", "\(schema).brief"].map {
                let parts = $0.split(separator: ".").map(String.init)
                return TableRegistration(
                    name: TableName(schema: parts[0], table: parts[1]), key: "user_id")
            }
            let error = await #expect(throws: RegistrationError.self) {
                try await Registration.apply(wanted, on: connection)
            }
            let text = try #require(error).description
            #expect(text.contains("sync.scope belongs to Oversync"))
            #expect(text.contains("\(schema).brief is a temporary table"))
        }
    }

    @Test("What search_path says does not change what a refusal names")
    func searchPath() async throws {
        try await Self.with { connection in
            try await connection.execute(script: "SET search_path = s, public")
            let wanted = try Self.registrations([("quarter", ", key: id"), ("younger", "")])
            let error = await #expect(throws: RegistrationError.self) {
                try await Registration.apply(wanted, on: connection)
            }
            let text = try #require(error).description
            #expect(text.contains("register s.halves"))
            #expect(text.contains("inherits from s.elder"))
        }
    }
}
