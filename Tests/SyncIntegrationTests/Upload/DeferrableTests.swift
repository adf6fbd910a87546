import Model
import Postgres
import Sidecar
import Testing

@Suite("Constraints that wait for the commit")
struct DeferrableTests {
    private static let tables = """
        CREATE TABLE s.hens (id uuid PRIMARY KEY, owner text, egg uuid, n int CHECK (n > 0));
        CREATE TABLE s.eggs (id uuid PRIMARY KEY, owner text, hen uuid REFERENCES s.hens, n int,
            nurse uuid REFERENCES s.hens);
        ALTER TABLE s.hens ADD FOREIGN KEY (egg) REFERENCES s.eggs;
        """
    private static let yaml = """
          - {table: s.hens, owner: owner}
          - {table: s.eggs, owner: owner}
        """

    private static func hen(_ number: Int, _ key: String, egg: String, n: Int = 1) -> String {
        change(number, "INSERT", "hens", id(key), #"{"egg":"\#(id(egg))","n":\#(n)}"#)
    }

    private static func egg(_ number: Int, _ key: String, hen: String) -> String {
        change(number, "INSERT", "eggs", id(key), #"{"hen":"\#(id(hen))"}"#)
    }

    @Test(
        "Rows that point at each other are refused, and applied in one batch once the keys are deferrable, without a restart"
    )
    func cycle() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            let batch = Self.hen(1, "a1", egg: "b1") + "," + Self.egg(2, "b1", hen: "a1")
            #expect(
                try await database.outcomes("ann", batch) == [
                    "invalid fk_missing s.eggs:\(id("b1"))",
                    "invalid fk_missing s.hens:\(id("a1"))",
                ])
            let running = Task { try await database.source.run() }
            defer { running.cancel() }
            let outcomes = try await DeferrableKeys(connection: database.sql).convert()
            #expect(
                Set(outcomes.map(\.key.name)).isSuperset(of: ["hens_egg_fkey", "eggs_hen_fkey"]))
            #expect(outcomes.allSatisfy { $0.problem == nil })
            // The services read the catalog by themselves; there is no event to wait for.
            let deadline = ContinuousClock.now + CatalogSource.refreshInterval * 4
            while try await database.outcomes("ann", batch) != ["applied 1", "applied 1"] {
                try #require(.now < deadline, "the conversion was not noticed")
                try await Task.sleep(for: .milliseconds(50))
            }
            #expect(
                try await database.value(
                    "SELECT count(*)::text FROM s.hens JOIN s.eggs ON hen = hens.id AND egg = eggs.id"
                )
                    == "1")
            #expect(try await database.download("ann").count == 2)
            #expect(try await database.verify().0 == [])
        }
    }

    @Test(
        "A cycle is applied wholly or not at all: a row of it that is in conflict leaves the others out"
    )
    func broken() async throws {
        try await Self.converted { database in
            try await database.upload("ann", change(1, "INSERT", "eggs", id("b1"), "{}"))
            try await database.upload("ann", change(2, "DELETE", "eggs", id("b1"), base: 1))
            // The egg's base is not its version, so the hen has no egg; the second pair is whole.
            let answer = try await database.outcomes(
                "ann", Self.hen(3, "a1", egg: "b1"), Self.egg(4, "b1", hen: "a1"),
                Self.hen(5, "a2", egg: "b2"), Self.egg(6, "b2", hen: "a2"))
            #expect(
                answer == [
                    "invalid fk_missing s.eggs:\(id("b1"))",
                    "invalid fk_missing s.hens:\(id("a1"))",
                    "applied 1", "applied 1",
                ])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test(
        "P5: a cycle with a row that PostgreSQL refuses is refused with its reason, its neighbours are applied"
    )
    func poisoned() async throws {
        try await Self.converted { database in
            let notes = (0..<9).map { change($0 + 20, "INSERT", "notes", id("c\($0)"), "{}") }
            let answer = try await database.outcomes(
                "ann", Self.hen(1, "a1", egg: "b1"), Self.egg(2, "b1", hen: "a1"),
                Self.hen(3, "a2", egg: "b2", n: -1), Self.egg(4, "b2", hen: "a2"),
                Self.hen(5, "a3", egg: "b3"), Self.egg(6, "b3", hen: "a3"),
                notes.joined(separator: ","))
            let refused = "materialize_error 23514"
            let good = Array(repeating: "applied 1", count: 11)
            #expect(answer == ["applied 1", "applied 1", refused, refused] + good)
            #expect(
                try await database.value(
                    "SELECT string_agg(source_change_id::text, ',' ORDER BY id) FROM sync.materialize_failures"
                )
                    == "3,4")
            let mended = try await database.outcomes(
                "ann", Self.hen(3, "a2", egg: "b2", n: 5), Self.egg(4, "b2", hen: "a2"))
            #expect(mended == ["applied 1", "applied 1"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test(
        "P5: a change between the rows of a refused cycle keeps its own reason, whatever version it is based on"
    )
    func between() async throws {
        try await Self.converted { database in
            try await database.upload("ann", change(1, "INSERT", "hens", id("a9"), "{}"))
            // The nurse is there, so her change need not succeed; it stands before the egg's and after the hen's.
            let egg = #"{"hen":"\#(id("a1"))","nurse":"\#(id("a9"))"}"#
            let answer = try await database.outcomes(
                "ann", Self.hen(2, "a1", egg: "b1", n: -1),
                change(
                    3, "UPDATE", "hens", id("a9"), base: (1 << 53) - 1,
                    #"{"egg":"\#(id("b9"))"}"#),
                change(4, "INSERT", "eggs", id("b1"), egg))
            let refused = "materialize_error 23514"
            #expect(answer == [refused, "invalid fk_missing s.eggs:\(id("b9"))", refused])
            #expect(
                try await database.value(
                    "SELECT string_agg(source_change_id::text, ',' ORDER BY id) FROM sync.materialize_failures"
                )
                    == "2,4")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test(
        "S7: a key that waits for the commit, of a table that is not registered, refuses one delete and not the request"
    )
    func unregisteredChild() async throws {
        try await SyncedDatabase.with(
            tables: """
                CREATE TABLE s.prints (id int PRIMARY KEY,
                    note uuid REFERENCES s.notes DEFERRABLE INITIALLY DEFERRED)
                """,
            registered: "  - {table: s.other, mode: sidecar}"
        ) { database in
            try await database.upload(
                "ann", change(1, "INSERT", "notes", id("a1"), "{}"),
                change(2, "INSERT", "notes", id("a2"), "{}"))
            try await database.execute("INSERT INTO s.prints VALUES (1, '\(id("a1"))')")
            let answer = try await database.outcomes(
                "ann", change(3, "DELETE", "notes", id("a1"), base: 1),
                change(4, "DELETE", "notes", id("a2"), base: 1))
            #expect(answer == ["materialize_error 23503", "applied 2"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test(
        "S7: a trigger of the team's that waits for the commit refuses one row and not the request")
    func lateTrigger() async throws {
        try await SyncedDatabase.with(
            tables: """
                CREATE TABLE s.late (id uuid PRIMARY KEY, owner text, n int);
                CREATE FUNCTION s.late() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN
                    IF NEW.n < 0 THEN RAISE EXCEPTION 'late' USING ERRCODE = '23514'; END IF;
                    RETURN NULL;
                END $$;
                CREATE CONSTRAINT TRIGGER late AFTER INSERT ON s.late DEFERRABLE INITIALLY DEFERRED
                    FOR EACH ROW EXECUTE FUNCTION s.late();
                """,
            registered: "  - {table: s.late, owner: owner}"
        ) { database in
            let answer = try await database.outcomes(
                "ann", change(1, "INSERT", "late", id("a1"), #"{"n":1}"#),
                change(2, "INSERT", "late", id("a2"), #"{"n":-1}"#))
            #expect(answer == ["applied 1", "materialize_error 23514"])
            #expect(try await database.verify().0 == [])
        }
    }

    private static func converted(_ body: (SyncedDatabase) async throws -> Void) async throws {
        try await SyncedDatabase.with(tables: tables, registered: yaml) { database in
            _ = try await DeferrableKeys(connection: database.sql).convert()
            try await body(database)
        }
    }
}
