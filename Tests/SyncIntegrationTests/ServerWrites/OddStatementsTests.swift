import Testing

@testable import UploadService

/// Statements of back ends that write in unusual ways, and what devices get of them.
@Suite("Statements that write in unusual ways") struct OddStatementsTests {
    private static func insert(_ key: String, _ owner: String, _ title: String) -> String {
        "INSERT INTO s.notes (id, owner, title) VALUES ('\(id(key))', '\(owner)', '\(title)');"
    }

    @Test("MERGE that inserts, updates and deletes: each row is captured once")
    func merge() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                \(Self.insert("a1", "ann", "one")) \(Self.insert("a2", "ann", "two"))
                MERGE INTO s.notes n USING (VALUES
                    ('\(id("a1"))'::uuid, 'changed'), ('\(id("a2"))', NULL), ('\(id("a3"))', 'new'))
                    AS v(id, title) ON n.id = v.id
                WHEN MATCHED AND v.title IS NULL THEN DELETE
                WHEN MATCHED THEN UPDATE SET title = v.title
                WHEN NOT MATCHED THEN INSERT (id, owner, title) VALUES (v.id, 'ann', v.title)
                """)
            #expect(
                try await database.feed("ann", after: 2).sorted()
                    == ["D notes a2 2", "I notes a3 1", "U notes a1 2"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("WITH that writes the same table three times in one statement")
    func writingCTE() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                \(Self.insert("a1", "ann", "one")) \(Self.insert("a2", "ann", "two"))
                WITH gone AS (DELETE FROM s.notes WHERE title = 'two' RETURNING owner),
                    changed AS (UPDATE s.notes SET title = 'first' WHERE title = 'one' RETURNING id)
                INSERT INTO s.notes (id, owner, title)
                    SELECT '\(id("a3"))', owner, 'three' FROM gone
                """)
            #expect(
                try await database.feed("ann", after: 2).sorted()
                    == ["D notes a2 2", "I notes a3 1", "U notes a1 2"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("What is rolled back to a savepoint, or fails in a block, leaves no gap and no trace")
    func savepoints() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                BEGIN;
                \(Self.insert("a1", "ann", "one"))
                SAVEPOINT before;
                \(Self.insert("a2", "ann", "two"))
                UPDATE s.notes SET title = 'lost';
                ROLLBACK TO before;
                DO $$ BEGIN
                    INSERT INTO s.notes (id, owner) VALUES ('\(id("a3"))', 'ann');
                    PERFORM 1 / 0;
                EXCEPTION WHEN division_by_zero THEN NULL;
                END $$;
                \(Self.insert("a4", "ann", "four"))
                COMMIT
                """)
            #expect(try await database.feed("ann") == ["I notes a1 1", "I notes a4 1"])
            #expect(try await database.download("ann").map(\.sequence) == [1, 2])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Foreign keys that set a default when their parent goes or changes its key")
    func setDefault() async throws {
        try await SyncedDatabase.with(
            tables: """
                CREATE TABLE s.kinds (code text PRIMARY KEY, owner text);
                CREATE TABLE s.things (id uuid PRIMARY KEY, owner text, kind text DEFAULT 'other'
                    REFERENCES s.kinds ON DELETE SET DEFAULT ON UPDATE SET DEFAULT);
                """,
            registered: "  - {table: s.kinds, owner: owner}\n  - {table: s.things, owner: owner}"
        ) { database in
            try await database.execute(
                """
                INSERT INTO s.kinds VALUES ('other', 'ann'), ('a', 'ann'), ('b', 'ann');
                INSERT INTO s.things VALUES ('\(id("a1"))', 'ann', 'a');
                INSERT INTO s.things VALUES ('\(id("a2"))', 'ann', 'b');
                DELETE FROM s.kinds WHERE code = 'a';
                UPDATE s.kinds SET code = 'c' WHERE code = 'b'
                """)
            let things = try await database.download("ann").filter { $0.table == "things" }
            #expect(things.suffix(2).map(\.version) == [2, 2])
            #expect(things.suffix(2).allSatisfy { $0.payload?["kind"] == "other" })
            // A device does the same.
            try await database.upload(
                "ann", change(1, "INSERT", "kinds", "d", "{}"),
                change(2, "UPDATE", "things", id("a1"), base: 2, #"{"kind":"d"}"#))
            let lines = try await database.outcomes(
                "ann", change(3, "DELETE", "kinds", "d", base: 1))
            #expect(lines == ["applied 2"])
            #expect(try await database.download("ann").last?.payload?["kind"] == "other")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A label of an enum that is renamed: verify names the rows, and its repair sends them")
    func renamedLabel() async throws {
        try await SyncedDatabase.with(
            tables: """
                CREATE TYPE s.mood AS ENUM ('sad', 'glad');
                CREATE TABLE s.days (id uuid PRIMARY KEY, owner text, mood s.mood, title text);
                """, registered: "  - {table: s.days, owner: owner}"
        ) { database in
            try await database.upload(
                "ann", change(1, "INSERT", "days", id("a1"), #"{"mood":"sad","title":"t"}"#))
            try await database.execute("ALTER TYPE s.mood RENAME VALUE 'sad' TO 'blue'")
            let edit = change(
                2, "UPDATE", "days", id("a1"), base: 1, #"{"mood":"sad","title":"u"}"#)
            #expect(try await database.outcomes("ann", edit) == ["materialize_error 22P02"])
            let found = try await database.verify().0
            #expect(found.count == 1 && found[0].contains("different_row"), "\(found)")
            #expect(try await database.verify(repair: true).0 == [])
            #expect(try await database.download("ann").last?.payload?["mood"] == "blue")
            // Now the edit meets the row as a conflict, and the device has what it needs.
            #expect(
                try await database.outcomes("ann", edit).first?.hasPrefix("conflict 2") == true)
            #expect(
                try await database.outcomes(
                    "ann",
                    change(
                        3, "UPDATE", "days", id("a1"), base: 2,
                        #"{"mood":"blue","title":"u"}"#))
                    == ["applied 3"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A composite type that gets an attribute: edits and writes go on, and verify mends it")
    func newAttribute() async throws {
        try await SyncedDatabase.with(
            tables: """
                CREATE TYPE s.place AS (x int, y int);
                CREATE TABLE s.spots (id uuid PRIMARY KEY, owner text, at s.place, title text);
                """, registered: "  - {table: s.spots, owner: owner}"
        ) { database in
            try await database.upload(
                "ann", change(1, "INSERT", "spots", id("a1"), #"{"at":{"x":1,"y":2}}"#))
            try await database.execute("ALTER TYPE s.place ADD ATTRIBUTE z int CASCADE")
            #expect(
                try await database.outcomes(
                    "ann",
                    change(
                        2, "UPDATE", "spots", id("a1"), base: 1,
                        #"{"at":{"x":1,"y":2},"title":"u"}"#))
                    == ["applied 2"])
            #expect(try await database.verify(repair: true).0 == [])
            try await database.execute("UPDATE s.spots SET at.z = 3")
            #expect(try await database.download("ann").last?.payload?["at"]?.contains("3") == true)
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("An array whose numbers begin elsewhere comes back as it is shown, and is no difference")
    func bounds() async throws {
        try await SyncedDatabase.with(
            tables: "CREATE TABLE s.lists (id uuid PRIMARY KEY, owner text, n int[], title text);",
            registered: "  - {table: s.lists, owner: owner}"
        ) { database in
            try await database.execute(
                "INSERT INTO s.lists VALUES ('\(id("a1"))', 'ann', '[5:7]={1,2,3}', 'old')")
            #expect(try await database.verify().0 == [])
            #expect(
                try await database.outcomes(
                    "ann",
                    change(
                        1, "UPDATE", "lists", id("a1"), base: 1,
                        #"{"n":[1,2,3],"title":"new"}"#))
                    == ["applied 2"])
            #expect(try await database.value("SELECT n[1] || title FROM s.lists") == "1new")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A row that an UPDATE moves to another partition stays one row")
    func moved() async throws {
        try await SyncedDatabase.with(
            tables: """
                CREATE TABLE s.logs (id uuid NOT NULL, owner text NOT NULL, year int NOT NULL,
                    PRIMARY KEY (owner, id, year)) PARTITION BY LIST (owner);
                CREATE TABLE s.logs_ann PARTITION OF s.logs FOR VALUES IN ('ann');
                CREATE TABLE s.logs_bob PARTITION OF s.logs FOR VALUES IN ('bob');
                CREATE UNIQUE INDEX ON s.logs (owner, id);
                """, registered: "  - {table: s.logs, key: id, owner: owner}"
        ) { database in
            try await database.execute(
                """
                INSERT INTO s.logs VALUES ('\(id("a1"))', 'ann', 1);
                UPDATE s.logs SET owner = 'bob', year = 2
                """)
            #expect(try await database.feed("ann") == ["I logs a1 1", "D logs a1 2"])
            #expect(try await database.feed("bob") == ["I logs a1 1"])
            let lines = try await database.outcomes(
                "eve", change(1, "INSERT", "logs", id("a2"), #"{"year":3}"#),
                change(2, "INSERT", "notes", id("a3"), "{}"))
            // There is no partition for her.
            #expect(lines == ["materialize_error 23514", "applied 1"])
            #expect(try await database.verify().0 == [])
        }
    }
}
