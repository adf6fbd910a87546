import Model
import Postgres
@testable import Sidecar
import Testing
import TestSupport

@Suite("Registered tables, as PostgreSQL has them")
struct CatalogTests {
    private static let tables = """
        CREATE SCHEMA s;
        CREATE TABLE s.good (id uuid PRIMARY KEY, owner text, code text UNIQUE, pair_a int, pair_b int,
            UNIQUE (pair_b, pair_a));
        CREATE TABLE s.nokey (id uuid, owner text);
        CREATE TABLE s.partial (id uuid, owner text);
        CREATE UNIQUE INDEX ON s.partial (id) WHERE owner IS NOT NULL;
        CREATE TABLE s.days (id date PRIMARY KEY, owner text);
        CREATE TABLE s.numbers (id int PRIMARY KEY, owner text);
        CREATE DOMAIN s.short AS smallint CHECK (VALUE > 0);
        CREATE TABLE s.shorts (id s.short PRIMARY KEY, owner text);
        CREATE TABLE s.made (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner text);
        CREATE TABLE s.two (a uuid, b uuid, owner text, PRIMARY KEY (a, b));
        CREATE TABLE s.owned (owner text, id varchar(20), PRIMARY KEY (owner, id));
        CREATE DOMAIN s.mykey AS uuid;
        CREATE TABLE s.domains (id s.mykey PRIMARY KEY, owner text);
        CREATE TABLE s.child (id uuid PRIMARY KEY, owner text, code text, b int, a int, up uuid,
            kept int GENERATED ALWAYS AS IDENTITY, twice int GENERATED ALWAYS AS (a * 2) STORED,
            CONSTRAINT same_name FOREIGN KEY (code) REFERENCES s.good (code),
            CONSTRAINT pair FOREIGN KEY (a, b) REFERENCES s.good (pair_a, pair_b) DEFERRABLE);
        CREATE TABLE s.other (id uuid PRIMARY KEY, owner text, code text,
            CONSTRAINT same_name FOREIGN KEY (code) REFERENCES s.good (code));
        CREATE VIEW s.view AS SELECT * FROM s.good;
        """

    private static let template = DatabaseTemplate(name: "catalog") { url in
        try await connected(to: url) { connection in
            try await connection.execute(script: tables)
            _ = try await Migrator(connection: connection).migrate()
        }
    }

    /// An entry of `oversync.yaml`, and what the refusal must name.
    static let refusals: [(yaml: String, names: [String])] = [
        ("{table: s.nowhere}", ["s.nowhere", "no such table", "sidecar"]),
        ("{table: s.view}", ["s.view is a view", "register the table"]),
        ("{table: s.good, owner: boss}", ["s.good.owner", "boss"]),
        ("{table: s.good, key: nr}", ["s.good.key", "nr"]),
        ("{table: s.good, key: pair_a}", ["s.good.key", "pair_a", "unique"]),
        ("{table: s.nokey, key: id}", ["s.nokey.key", "unique"]),
        ("{table: s.nokey}", ["s.nokey.key", "name the key column"]),
        ("{table: s.partial, key: id}", ["s.partial.key", "unique"]),
        ("{table: s.days}", ["s.days.key", "date", "uuid, text, smallint, integer or bigint"]),
        ("{table: s.numbers, key_kind: text}", ["s.numbers.key_kind", "integer", "text"]),
        ("{table: s.two}", ["s.two.key", "2"]),
        ("{table: s.good, key_kind: text}", ["s.good.key_kind", "uuid"]),
    ]

    @Test("Keys of another type than those of the rows that devices know are refused")
    func otherKeys() async throws {
        try await TestDatabase.withDatabase(template: Self.template) { url in
            try await connected(to: url) { connection in
                let tables = try RegistrationFile.parse(
                    "tables:\n  - {table: s.child, owner: owner}")
                try await Registration.apply(tables, on: connection)
                try await connection.execute(
                    script: "INSERT INTO s.child (id, owner) VALUES (gen_random_uuid(), 'ann')")
                try await connection.execute(script: "ALTER TABLE s.child ALTER id TYPE text")
                let error = await #expect(throws: RegistrationError.self) {
                    try await Registration.apply(tables, on: connection)
                }
                #expect(
                    "\(try #require(error))".contains(
                        "s.child.key: devices know its rows by uuid keys"))
                #expect(try await Catalog.readTables(on: connection).first?.keyKind == .uuid)
            }
        }
    }

    @Test(
        "A table that cannot be registered is refused with its reason, and nothing is changed",
        arguments: refusals.indices)
    func refusal(_ index: Int) async throws {
        let refusal = Self.refusals[index]
        try await TestDatabase.withDatabase(template: Self.template) { url in
            try await connected(to: url) { connection in
                let tables = try RegistrationFile.parse(
                    "tables:\n  - {table: s.owned, owner: owner}\n  - \(refusal.yaml)")
                let error = await #expect(throws: RegistrationError.self) {
                    try await Registration.apply(tables, on: connection)
                }
                for name in refusal.names {
                    #expect(
                        error?.description.contains(name) == true,
                        "\(name) not in: \(error?.description ?? "")")
                }
                #expect(try await Catalog.readTables(on: connection).isEmpty)
                #expect(!connection.isInTransaction)
            }
        }
    }

    @Test(
        "S10: keys, owners, columns and foreign keys are read from pg_catalog, also by a role without rights"
    )
    func reading() async throws {
        try await TestDatabase.withDatabase(template: Self.template) { url in
            try await connected(to: url) { connection in
                let yaml = [
                    "good", "owned", "domains", "child", "other", "numbers", "shorts", "made",
                ].map {
                    "  - {table: s.\($0), owner: owner}"
                }
                try await Registration.apply(
                    try RegistrationFile.parse("tables:\n" + yaml.joined(separator: "\n")),
                    on: connection)
                let catalog = Catalog(tables: try await Catalog.readTables(on: connection))
                func table(_ name: String) throws -> RegisteredTable {
                    try #require(catalog[TableName(schema: "s", table: name)])
                }
                #expect(try table("good").keyKind == .uuid)
                #expect(try table("domains").keyKind == .uuid)
                #expect(try table("owned").keyKind == .text)
                #expect(Set(try table("owned").keyIndexColumns) == ["owner", "id"])
                for (name, range) in [
                    ("numbers", Int64(Int32.min)...Int64(Int32.max)), ("shorts", -32768...32767),
                    ("made", Int64.min...Int64.max),
                ] {
                    #expect(try table(name).keyKind == .integer)
                    #expect(try table(name).keyRange == range)
                    #expect(try table(name).isKeyOfIdentity == (name == "made"))
                }
                let child = try table("child")
                #expect(child.columns.filter(\.isReadOnly).map(\.name) == ["kept", "twice"])
                // S10: pairs by position in the key, not by name or order of the columns.
                let pair = try #require(child.foreignKeys.first { $0.name == "pair" })
                #expect(pair.columns.map(\.child) == ["a", "b"])
                #expect(pair.columns.map(\.parent) == ["pair_a", "pair_b"])
                #expect(pair.isDeferrable)
                // S10: one constraint name on two tables is two constraints.
                for name in ["child", "other"] {
                    let key = try #require(
                        try table(name).foreignKeys.first { $0.name == "same_name" })
                    #expect(key.columns.count == 1)
                    #expect(key.parent == TableName(schema: "s", table: "good"))
                }
                #expect(
                    catalog.tables.map(\.name.table).firstIndex(of: "good") ?? 9 < catalog.tables
                        .map(\.name.table).firstIndex(of: "child") ?? 0)
                try await connection.execute(
                    script: """
                        DO $$ BEGIN CREATE ROLE catalog_reader; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
                        GRANT USAGE ON SCHEMA sync TO catalog_reader;
                        GRANT SELECT ON sync.catalog TO catalog_reader;
                        SET ROLE catalog_reader;
                        """)
                #expect(catalog.isMade(of: try await Catalog.readTables(on: connection)))
            }
        }
    }

    @Test("A table taken out of the file is marked removed and keeps its number when it comes back")
    func removal() async throws {
        try await TestDatabase.withDatabase(template: Self.template) { url in
            try await connected(to: url) { connection in
                func register(_ names: String...) async throws -> Catalog {
                    try await Registration.apply(
                        names.map {
                            TableRegistration(name: .init(schema: "s", table: $0), owner: "owner")
                        }, on: connection)
                    return Catalog(tables: try await Catalog.readTables(on: connection))
                }
                let good = TableName(schema: "s", table: "good")
                let id = try #require(try await register("good", "owned")[good]?.id)
                let without = try await register("owned")
                #expect(without[good] == nil)
                #expect(without.identity(id)?.name == good)
                #expect(try await register("good", "owned")[good]?.id == id)
            }
        }
    }

    @Test(
        "A table that a writer holds for long: the registration fails with a clear error and changes nothing"
    )
    func locked() async throws {
        try await TestDatabase.withDatabase(template: Self.template) { url in
            try await connected(to: url) { connection in
                try await connected(to: url) { writer in
                    try await writer.execute(
                        script: "BEGIN; INSERT INTO s.good (id) VALUES (gen_random_uuid())")
                    let registration = TableRegistration(
                        name: .init(schema: "s", table: "good"), owner: "owner")
                    let error = await #expect(throws: TableInUse.self) {
                        try await Registration.apply(
                            [registration], on: connection, lockTimeout: .milliseconds(100))
                    }
                    #expect(error?.cause.sqlState == .lockNotAvailable)
                    let text = try #require(error?.description)
                    #expect(text.hasPrefix("s.good is in use: it stayed locked for too long"))
                    #expect(text.contains("55P03"))
                    let process = try await writer.run(
                        Command(Statement(name: "pid", sql: "SELECT pg_backend_pid()::text")))
                    #expect(text.contains("process \(try process.string(0, 0)) ("))
                    #expect(text.contains("idle in transaction"))
                    #expect(text.hasSuffix("then run oversync migrate again"))
                    #expect(try await Catalog.readTables(on: connection).isEmpty)
                    try await writer.execute(script: "ROLLBACK")
                    try await Registration.apply([registration], on: connection)
                }
            }
        }
    }

    // migrate    locks good ............ waits for other
    // writer     locks other ...................... waits for good
    @Test("A registration that PostgreSQL ends as half of a deadlock changes nothing, and says so")
    func deadlock() async throws {
        let registrations = ["good", "other"].map {
            TableRegistration(name: .init(schema: "s", table: $0), owner: "owner")
        }
        try await TestDatabase.withDatabase(template: Self.template) { url in
            try await connected(to: url) { connection in
                try await connected(to: url) { writer in
                    // The registration looks for a deadlock long before the writer does.
                    try await connection.execute(script: "SET deadlock_timeout = '3s'")
                    try await writer.execute(
                        script: """
                            SET deadlock_timeout = '60s'; BEGIN;
                            INSERT INTO s.other (id) VALUES (gen_random_uuid())
                            """)
                    async let registered = Registration.apply(
                        registrations, on: connection, lockTimeout: .seconds(60))
                    while try await !Self.somebodyWaits(writer) {}
                    try await writer.execute(
                        script: "INSERT INTO s.good (id) VALUES (gen_random_uuid()); COMMIT")
                    do {
                        _ = try await registered
                        Issue.record("the registration was not ended")
                    } catch let error as TableInUse {
                        #expect(error.cause.sqlState == .deadlockDetected)
                        #expect(
                            error.description.hasPrefix(
                                "s.other is in use: two sessions waited for each other's locks"))
                        #expect(error.description.contains("No table was registered"))
                    }
                    #expect(try await Catalog.readTables(on: connection).isEmpty)
                    #expect(try await Self.triggers(writer) == "0")
                    try await Registration.apply(registrations, on: connection)
                    #expect(try await Self.triggers(writer) == "8")
                }
            }
        }
    }

    /// Whether a session waits for a lock on `s.other`.
    private static func somebodyWaits(_ connection: PostgresConnection) async throws -> Bool {
        let found = try await connection.run(
            Command(
                Statement(
                    name: "waits",
                    sql: """
                        SELECT EXISTS (SELECT FROM pg_locks
                            WHERE relation = 's.other'::regclass AND NOT granted)
                        """)))
        return try found.bool(0, 0)
    }

    /// How many triggers of ours there are.
    private static func triggers(_ connection: PostgresConnection) async throws -> String {
        try await connection.run(
            Command(
                Statement(
                    name: "triggers",
                    sql: "SELECT count(*)::text FROM pg_trigger WHERE tgname ^@ 'oversync_capture_'"
                ))
        ).string(0, 0)
    }
}
