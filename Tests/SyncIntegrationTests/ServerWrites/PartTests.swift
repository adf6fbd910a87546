import DatabaseKit
import Model
import Postgres
import ServiceKit
@testable import Sidecar
import Testing

@Suite(
    "What is written to a partition, or to a table that inherits, by its own name reaches devices")
struct PartTests {
    private static let tables = """
        CREATE TABLE s.logs (id uuid NOT NULL, owner text NOT NULL, body text,
            PRIMARY KEY (owner, id)) PARTITION BY LIST (owner);
        -- Attached, with its columns in another order and one that has gone.
        CREATE TABLE s.logs_ann (gone int, body text, owner text NOT NULL, id uuid NOT NULL);
        ALTER TABLE s.logs_ann DROP gone;
        ALTER TABLE s.logs ATTACH PARTITION s.logs_ann FOR VALUES IN ('ann');
        CREATE TABLE s.logs_rest PARTITION OF s.logs DEFAULT PARTITION BY HASH (id);
        CREATE TABLE s.logs_rest_0 PARTITION OF s.logs_rest
            FOR VALUES WITH (MODULUS 1, REMAINDER 0);
        CREATE TABLE s.base (id uuid PRIMARY KEY, owner text, body text);
        CREATE TABLE s.child (more int, PRIMARY KEY (id)) INHERITS (s.base);
        CREATE TABLE s.grandchild (PRIMARY KEY (id)) INHERITS (s.child);
        """
    private static let registered = """
          - {table: s.logs, owner: owner, key: id}
          - {table: s.base, owner: owner}
        """

    private static func with(_ body: (SyncedDatabase) async throws -> Void) async throws {
        try await SyncedDatabase.with(tables: tables, registered: registered, body)
    }

    private static func migrate(_ database: SyncedDatabase) async throws {
        let more = try RegistrationFile.parse("tables:\n" + registered)
        try await Registration.apply(SyncedDatabase.registrations + more, on: database.sql)
        try await database.source.refresh()
    }

    /// Each part, whose rows it takes, and the table that devices know them by.
    static let parts = [
        ("logs_ann", "ann", "logs"), ("logs_rest", "bob", "logs"), ("logs_rest_0", "bob", "logs"),
        ("child", "ann", "base"), ("grandchild", "ann", "base"),
    ]

    @Test("Insert, update, delete and TRUNCATE, and what is copied in", arguments: parts)
    func byItsOwnName(_ part: (name: String, owner: String, table: String)) async throws {
        try await Self.with { database in
            let (name, owner, table) = part
            for key in ["a1", "a2"] {
                try await database.execute(
                    "INSERT INTO s.\(name) (id, owner, body) VALUES ('\(id(key))', '\(owner)', 'x')"
                )
            }
            try await database.execute("UPDATE s.\(name) SET body = 'y' WHERE id = '\(id("a1"))'")
            try await database.execute("DELETE FROM s.\(name) WHERE id = '\(id("a1"))'")
            #expect(
                try await database.feed(owner) == [
                    "I \(table) a1 1", "I \(table) a2 1", "U \(table) a1 2", "D \(table) a1 3",
                ])
            let payload = try #require(try await database.download(owner)[2].payload)
            #expect(payload == ["id": id("a1"), "body": "y"])
            #expect(try await database.verify().0 == [])
            try await database.execute("TRUNCATE s.\(name)")
            #expect(try await database.feed(owner, after: 4) == ["D \(table) a2 2"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("By the registered table's name each row is told once, also where it moves")
    func byTheTablesName() async throws {
        try await Self.with { database in
            try await database.execute(
                """
                INSERT INTO s.logs VALUES ('\(id("a1"))', 'ann', 'x'), ('\(id("a2"))', 'bob', 'x');
                UPDATE s.logs SET owner = 'bob' WHERE owner = 'ann';
                UPDATE s.base SET body = 'none'; TRUNCATE s.logs
                """)
            #expect(try await database.feed("ann") == ["I logs a1 1", "D logs a1 2"])
            #expect(
                try await database.feed("bob").sorted()
                    == ["D logs a1 2", "D logs a2 2", "I logs a1 1", "I logs a2 1"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test(
        "A trigger of the team's that writes by a part's name is told, beside an upload"
    )
    func besideUpload() async throws {
        try await Self.with { database in
            try await database.execute(
                """
                CREATE FUNCTION s.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
                BEGIN INSERT INTO s.logs_ann (id, owner, body)
                    VALUES ('\(id("a9"))', 'ann', 'made');
                    RETURN NULL; END $$;
                CREATE TRIGGER note AFTER INSERT ON s.tags FOR EACH ROW EXECUTE FUNCTION s.note()
                """)
            #expect(
                try await database.outcomes(
                    "ann", change(1, "INSERT", "logs", id("a1"), #"{"body":"sent"}"#),
                    change(2, "INSERT", "tags", "t", "{}")) == ["applied 1", "applied 1"])
            #expect(
                try await database.feed("ann").sorted()
                    == ["I logs a1 1", "I logs a9 1", "I tags t 1"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("The columns that a child table has beside are its own, and no change of them is one")
    func columnsOfTheChild() async throws {
        try await Self.with { database in
            try await database.execute(
                "INSERT INTO s.child (id, owner, body, more) VALUES ('\(id("a1"))', 'ann', 'x', 1)")
            try await database.execute("UPDATE s.child SET more = 2")
            #expect(try await database.feed("ann") == ["I base a1 1"])
            try await database.execute(
                "ALTER TABLE s.base ADD word text; UPDATE s.child SET word = 'w'")
            #expect(try await database.download("ann").last?.payload?["word"] == "w")
            #expect(try await database.download("ann").last?.payload?["more"] == nil)
        }
    }

    /// What a team does, and the part that it names.
    static let additions = [
        ("CREATE TABLE s.logs_cyd PARTITION OF s.logs FOR VALUES IN ('cyd')", "logs_cyd", "cyd"),
        (
            """
            CREATE TABLE s.made (id uuid NOT NULL, owner text NOT NULL, body text);
            ALTER TABLE s.logs ATTACH PARTITION s.made FOR VALUES IN ('cyd')
            """, "made", "cyd"
        ),
        ("CREATE TABLE s.late (PRIMARY KEY (id)) INHERITS (s.child)", "late", "cyd"),
        ("ALTER TABLE s.logs_ann DISABLE TRIGGER USER", "logs_ann", "ann"),
        ("DROP TRIGGER oversync_capture_update_6 ON s.logs_rest_0", "logs_rest_0", "cyd"),
    ]

    @Test(
        "One that is new, or lost its triggers, is named at the next look; migrate mends it",
        arguments: additions)
    func noticed(_ addition: (sql: String, part: String, owner: String)) async throws {
        try await Self.with { database in
            let problems = DatabaseNeeds.state(of: database.source)
            try await database.source.refresh()
            let before = problems()
            #expect(!before.contains { $0.text.contains("by its own name") })
            try await database.execute(addition.sql)
            try await database.source.refresh()
            let named = problems().filter { !before.contains($0) }
            #expect(named.count == 1)
            #expect(named.first?.text.contains("s.\(addition.part), a part of s.") == true)
            #expect(named.first?.isBlocking == false)
            let said = try await database.verify().0
            #expect(said.count == 1)
            #expect(said.first?.contains("for its part s.\(addition.part)") == true)

            try await Self.migrate(database)
            #expect(problems() == before)
            try await database.execute(
                """
                INSERT INTO s.\(addition.part) (id, owner, body)
                VALUES ('\(id("a1"))', '\(addition.owner)', 'x');
                UPDATE s.\(addition.part) SET body = 'y'
                """)
            #expect(try await database.feed(addition.owner).count == 2)
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A part that is written to without capture names the table", arguments: parts)
    func uncaptured(_ part: (name: String, owner: String, table: String)) async throws {
        try await Self.with { database in
            try await database.execute(
                """
                SET session_replication_role = replica;
                INSERT INTO s.\(part.name) (id, owner) VALUES ('\(id("a1"))', '\(part.owner)');
                RESET session_replication_role
                """)
            try await database.source.refresh()
            let named = database.source.flaws.filter { $0.kind == .uncapturedWrites }
            #expect(named.map(\.table.table) == [part.table])
            try await Self.migrate(database)
            #expect(!database.source.flaws.contains { $0.kind == .uncapturedWrites })
            #expect(try await database.feed(part.owner) == ["I \(part.table) a1 1"])
        }
    }

    @Test("Each part has what records its rows, also where no statement trigger runs")
    func rowTriggers() async throws {
        try await Self.with { database in
            try await database.execute(
                "CREATE TABLE s.logs_cyd PARTITION OF s.logs FOR VALUES IN ('cyd')")
            for part in [
                "logs", "logs_ann", "logs_rest", "logs_rest_0", "logs_cyd", "base", "child",
            ] {
                #expect(
                    try await database.value(
                        """
                        SELECT count(*)::text FROM pg_trigger
                        WHERE tgname LIKE 'oversync_uncaptured_row%' AND tgenabled = 'R'
                            AND tgrelid = 's.\(part)'::regclass
                        """) == "1", "\(part)")
            }
        }
    }

    @Test("A partition that migrate has not seen: TRUNCATE of the whole table tells its rows")
    func truncatedBeforeMigrate() async throws {
        try await Self.with { database in
            try await database.execute(
                """
                CREATE TABLE s.logs_cyd PARTITION OF s.logs FOR VALUES IN ('cyd');
                INSERT INTO s.logs VALUES ('\(id("a1"))', 'cyd', 'x'); TRUNCATE s.logs
                """)
            #expect(try await database.feed("cyd") == ["I logs a1 1", "D logs a1 2"])
        }
    }

    @Test("A detached partition is nobody's, before migrate takes its triggers off and after")
    func detached() async throws {
        try await Self.with { database in
            try await database.execute(
                """
                ALTER TABLE s.logs DETACH PARTITION s.logs_ann;
                INSERT INTO s.logs_ann (id, owner) VALUES ('\(id("a1"))', 'ann');
                DELETE FROM s.logs_ann;
                INSERT INTO s.logs_ann (id, owner) VALUES ('\(id("a2"))', 'ann');
                TRUNCATE s.logs_ann; SET session_replication_role = replica;
                INSERT INTO s.logs_ann (id, owner) VALUES ('\(id("a3"))', 'ann');
                RESET session_replication_role
                """)
            #expect(
                try await database.value("SELECT count(*)::text FROM sync.uncaptured_write") == "0")
            #expect(try await database.feed("ann") == [])
            try await Self.migrate(database)
            #expect(
                try await database.value(
                    """
                    SELECT count(*)::text FROM pg_trigger
                    WHERE tgname LIKE 'oversync%' AND tgrelid = 's.logs_ann'::regclass
                    """) == "0")
        }
    }

    @Test("A table that is no longer registered leaves no triggers on its parts")
    func unregistered() async throws {
        try await Self.with { database in
            try await Registration.apply(SyncedDatabase.registrations, on: database.sql)
            #expect(
                try await database.value(
                    """
                    SELECT count(*)::text FROM pg_trigger
                    WHERE tgname LIKE 'oversync%' AND tgrelid = ANY (ARRAY['s.logs', 's.logs_ann',
                        's.logs_rest_0', 's.base', 's.child', 's.grandchild']::regclass[])
                    """) == "0")
            try await database.execute(
                "INSERT INTO s.child (id, owner) VALUES ('\(id("a1"))', 'ann')")
            #expect(try await database.feed("ann") == [])
        }
    }
}
