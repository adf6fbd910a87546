import Model
import Postgres
import Sidecar
import Testing
import TestSupport

@Suite("oversync migrate fk-deferrable")
struct DeferrableKeysTests {
    /// One key of each kind, named after it. `reserved` and its kin are names that must be quoted.
    private static let tables = """
        CREATE SCHEMA s;
        CREATE SCHEMA "order";
        CREATE TABLE s.parent (id uuid PRIMARY KEY, owner text, code text, nr int, UNIQUE (nr, code));
        CREATE TABLE s.child (id uuid PRIMARY KEY, owner text, code text, nr int, plain_ uuid, cascades uuid,
            nulls uuid, at_once uuid, unchecked uuid, already uuid,
            CONSTRAINT plain_ FOREIGN KEY (plain_) REFERENCES s.parent,
            CONSTRAINT cascades FOREIGN KEY (cascades) REFERENCES s.parent ON DELETE CASCADE ON UPDATE CASCADE,
            CONSTRAINT nulls FOREIGN KEY (nulls) REFERENCES s.parent ON DELETE SET NULL,
            CONSTRAINT pair FOREIGN KEY (code, nr) REFERENCES s.parent (code, nr),
            CONSTRAINT at_once FOREIGN KEY (at_once) REFERENCES s.parent DEFERRABLE INITIALLY IMMEDIATE,
            CONSTRAINT already FOREIGN KEY (already) REFERENCES s.parent DEFERRABLE INITIALLY DEFERRED);
        ALTER TABLE s.child ADD CONSTRAINT unchecked FOREIGN KEY (unchecked) REFERENCES s.parent NOT VALID;
        CREATE TABLE "order"."select" (id uuid PRIMARY KEY, owner text, "Up ""to"" it" uuid,
            CONSTRAINT "from" FOREIGN KEY ("Up ""to"" it") REFERENCES "order"."select");
        CREATE TABLE s.unregistered (id int PRIMARY KEY, parent uuid,
            CONSTRAINT towards FOREIGN KEY (parent) REFERENCES s.parent);
        CREATE TABLE s.elsewhere (id int PRIMARY KEY, other int,
            CONSTRAINT not_ours FOREIGN KEY (other) REFERENCES s.unregistered);
        CREATE TABLE s.years (id uuid, year int, owner text, parent uuid, PRIMARY KEY (id, year),
            CONSTRAINT of_years FOREIGN KEY (parent) REFERENCES s.parent) PARTITION BY RANGE (year);
        CREATE TABLE s.year1 PARTITION OF s.years FOR VALUES FROM (0) TO (2000);
        CREATE TABLE s.year2 (id uuid UNIQUE, year int, owner text, parent uuid, PRIMARY KEY (id, year),
            CONSTRAINT own_name FOREIGN KEY (parent) REFERENCES s.parent);
        CREATE TABLE s.diary (id uuid PRIMARY KEY, owner text, day uuid, year int,
            CONSTRAINT to_years FOREIGN KEY (day, year) REFERENCES s.years);
        """
    /// A table that was registered, and became a partition afterwards.
    private static let attached =
        "ALTER TABLE s.years ATTACH PARTITION s.year2 FOR VALUES FROM (2000) TO (3000)"
    private static let yaml = """
        tables:
          - {table: s.parent, owner: owner}
          - {table: s.child, owner: owner}
          - {table: order.select, owner: owner}
          - {table: s.year2, key: id, owner: owner}
          - {table: s.diary, owner: owner}
        """

    private static let template = DatabaseTemplate(name: "deferrable_keys") { url in
        try await connected(to: url) { connection in
            try await connection.execute(script: tables)
            _ = try await Migrator(connection: connection).migrate()
            try await Registration.apply(try RegistrationFile.parse(yaml), on: connection)
            try await connection.execute(script: attached)
        }
    }

    private static func withTables(
        _ body: (String, PostgresConnection) async throws -> Void
    ) async throws {
        try await TestDatabase.withDatabase(template: template) { url in
            try await connected(to: url) { try await body(url, $0) }
        }
    }

    private static func lines(_ connection: PostgresConnection, _ sql: String) async throws
        -> [String]
    {
        let rows = try await connection.run(
            Command(Statement(name: "lines\(sql.hashValue)", sql: sql)))
        return try (0..<rows.rowCount).map { try rows.string($0, 0) }
    }

    /// Every key and everything about it but whether it is deferred.
    private static let definitions = """
        SELECT conrelid::regclass || ' ' || conname || ' ' || convalidated || ' '
            || regexp_replace(pg_get_constraintdef(oid), ' DEFERRABLE.*?(?= NOT VALID|$)', '')
        FROM pg_constraint WHERE contype = 'f' ORDER BY 1
        """

    @Test(
        "Every key of and to a registered table is converted in place, and nothing else about it changes"
    )
    func conversion() async throws {
        try await Self.withTables { _, connection in
            let before = try await Self.lines(connection, Self.definitions)
            let keys = DeferrableKeys(connection: connection)
            let wanted = [
                "order.select.from", "s.child.at_once", "s.child.cascades", "s.child.nulls",
                "s.child.pair", "s.child.plain_", "s.child.unchecked", "s.diary.to_years",
                "s.unregistered.towards", "s.years.of_years",
            ]
            #expect(try await keys.pending().map(\.description) == wanted)
            var told: [String] = []
            let outcomes = try await keys.convert { told.append("\($0.key)") }
            #expect(told == wanted)
            #expect(outcomes.allSatisfy { $0.problem == nil })
            #expect(try await Self.lines(connection, Self.definitions) == before)
            // The constraint and the triggers that do its work: all but the actions, which are never deferred.
            let left = try await Self.lines(
                connection,
                """
                SELECT k.conname::text FROM pg_constraint k WHERE k.contype = 'f'
                    AND NOT (k.condeferrable AND k.condeferred)
                UNION ALL SELECT k.conname || ' ' || t.tgname
                FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
                JOIN pg_constraint k ON k.oid = t.tgconstraint
                WHERE k.contype = 'f' AND p.proname ~ 'RI_FKey_(check|noaction)'
                    AND NOT (t.tgdeferrable AND t.tginitdeferred) AND k.conname <> 'not_ours'
                """)
            #expect(left == ["not_ours"])
            // Again: nothing is left to do.
            #expect(try await keys.pending() == [])
            #expect(try await keys.convert() == [])
        }
    }

    @Test(
        "A converted key takes the child first, the parent later, and refuses at commit what is missing"
    )
    func deferred() async throws {
        try await Self.withTables { _, connection in
            let row = "INSERT INTO s.child (id, plain_) VALUES (gen_random_uuid(), '\(Self.key)')"
            let parent = "INSERT INTO s.parent (id) VALUES ('\(Self.key)')"
            let inOneTransaction = "BEGIN; \(row); \(parent); COMMIT"
            let early = await #expect(throws: PostgresError.self) {
                try await connection.execute(script: inOneTransaction)
            }
            #expect(early?.sqlState == .foreignKeyViolation)
            try await connection.execute(script: "ROLLBACK")
            _ = try await DeferrableKeys(connection: connection).convert()
            try await connection.execute(script: inOneTransaction)
            let gone = await #expect(throws: PostgresError.self) {
                try await connection.execute(script: "DELETE FROM s.parent")
            }
            #expect(gone?.sqlState == .foreignKeyViolation)
            // A parent that comes back before the commit was never missed; the actions still act at once.
            try await connection.execute(
                script: """
                    BEGIN; DELETE FROM s.parent; \(parent); COMMIT;
                    UPDATE s.child SET cascades = '\(Self.key)', plain_ = NULL;
                    DELETE FROM s.parent;
                    """)
            #expect(try await Self.lines(connection, "SELECT id::text FROM s.child") == [])
            // In a partition too: both its own key, and one that points at it.
            try await connection.execute(
                script: """
                    BEGIN;
                    INSERT INTO s.diary (id, day, year) VALUES (gen_random_uuid(), '\(Self.key)', 2001);
                    INSERT INTO s.years VALUES ('\(Self.key)', 2001, 'ann', '\(Self.key)');
                    \(parent);
                    COMMIT
                    """)
            #expect(try await Self.lines(connection, "SELECT id::text FROM s.year2") == [Self.key])
        }
    }

    private static let key = "00000000-0000-4000-8000-0000000000a1"

    @Test(
        "A table that a writer holds: its keys are named, the others are converted, a repeat does the rest"
    )
    func inUse() async throws {
        try await Self.withTables { url, connection in
            var patience = DeferrableKeys.Patience()
            patience.lockTimeout = .milliseconds(20)
            patience.attempts = 2
            patience.pause = .milliseconds(1)
            let keys = DeferrableKeys(connection: connection, patience: patience)
            try await connected(to: url) { writer in
                try await writer.execute(
                    script: "BEGIN; INSERT INTO s.diary (id) VALUES (gen_random_uuid())")
                let left = try await keys.convert().filter { $0.problem != nil }
                #expect(left.map(\.key.description) == ["s.diary.to_years"])
                #expect(left.first?.problem == .inUse(attempts: 2))
                #expect(left.first?.problem?.description.contains("in use") == true)
                #expect(!connection.isInTransaction)
                try await writer.execute(script: "COMMIT")
            }
            let rest = try await keys.convert()
            #expect(rest.map(\.key.name) == ["to_years"] && rest.first?.problem == nil)
        }
    }

    @Test(
        "A table of another owner: the role that is needed is named, and what is ours is converted")
    func notOwner() async throws {
        try await Self.withTables { url, connection in
            let number = UInt64.random(in: 0 ... .max)
            let (tool, other) = ("fk_tool_\(number)", "fk_other_\(number)")
            try await connection.execute(
                script: """
                    CREATE ROLE \(tool); CREATE ROLE \(other);
                    GRANT USAGE ON SCHEMA sync, s TO \(tool); GRANT SELECT ON sync.catalog TO \(tool);
                    ALTER TABLE s.child OWNER TO \(tool); ALTER TABLE s.diary OWNER TO \(other);
                    GRANT REFERENCES ON s.parent, s.years TO \(tool), \(other);
                    SET ROLE \(tool)
                    """)
            let outcomes = try await DeferrableKeys(connection: connection).convert()
            let converted = outcomes.filter { $0.problem == nil }.map(\.key.name)
            #expect(converted == ["at_once", "cascades", "nulls", "pair", "plain_", "unchecked"])
            let diary = outcomes.first { $0.key.name == "to_years" }
            #expect(diary?.problem == .notOwner(other))
            #expect(diary?.problem?.description.contains(other) == true)
            #expect(diary?.key.table.description == "s.diary")
            try await connection.execute(
                script: """
                    RESET ROLE; DROP OWNED BY \(tool), \(other); DROP ROLE \(tool); DROP ROLE \(other)
                    """)
        }
    }

    @Test("The statement, as --dry-run prints it, is the one that converts the key")
    func statement() async throws {
        try await Self.withTables { _, connection in
            let keys = DeferrableKeys(connection: connection)
            let key = try #require(try await keys.pending().first { $0.name == "from" })
            #expect(
                key.statement
                    == #"ALTER TABLE "order"."select" ALTER CONSTRAINT "from" DEFERRABLE INITIALLY DEFERRED"#
            )
            try await connection.execute(script: key.statement)
            #expect(try await keys.pending().contains(key) == false)
        }
    }
}
