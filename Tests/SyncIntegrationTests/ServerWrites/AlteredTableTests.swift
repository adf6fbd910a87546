import Model
import Postgres
@testable import Sidecar
import Testing

@Suite("Plain SQL between an ALTER TABLE and the next oversync migrate")
struct AlteredTableTests {
    /// What is done to `s.notes` and the statements after it; what devices must then be shown.
    static let alterations: [(sql: String, shows: [String: String], hides: [String])] = [
        (
            "ALTER TABLE s.notes ADD COLUMN colour text; UPDATE s.notes SET colour = 'red'",
            ["title": "two", "colour": "red"], []
        ),
        (
            "ALTER TABLE s.notes DROP COLUMN \"Big\"; UPDATE s.notes SET title = 'three'",
            ["title": "three"], ["big"]
        ),
        (
            "ALTER TABLE s.notes RENAME COLUMN title TO \"Head\"\"Line\"; UPDATE s.notes SET at = now()",
            ["head\"line": "two"], ["title"]
        ),
        (
            """
            ALTER TABLE s.notes ALTER COLUMN title TYPE bytea USING title::bytea;
            UPDATE s.notes SET title = 'four'
            """,
            ["title": "Zm91cg=="], []
        ),
        (
            "ALTER TABLE s.notes ADD COLUMN \"TITLE\" text; UPDATE s.notes SET \"TITLE\" = 'x', \"Big\" = 2",
            ["title": "two", "big": "2"], []
        ),
    ]

    @Test("Plain SQL to a renamed table reaches devices under the name that it is registered by")
    func renamed() async throws {
        try await SyncedDatabase.with(
            tables: "CREATE TABLE s.things (id uuid PRIMARY KEY, owner text, word text)",
            registered: "  - {table: s.things, owner: owner}"
        ) { database in
            func register(_ name: String?) async throws {
                let yaml = name.map { "tables:\n  - {table: s.\($0), owner: owner}" }
                let more = try yaml.map { try RegistrationFile.parse($0) } ?? []
                try await Registration.apply(
                    SyncedDatabase.registrations + more, on: database.sql)
                _ = try await database.source.refresh()
            }
            try await database.execute(
                "INSERT INTO s.things VALUES ('\(id("a1"))', 'ann', 'old'); ALTER TABLE s.things RENAME TO words"
            )
            try await register("words")
            try await database.execute("INSERT INTO s.words VALUES ('\(id("a2"))', 'ann', 'new')")
            #expect(try await database.feed("ann").last == "I words a2 1")

            // Another takes its place, as a large change of a table's form is made.
            try await database.execute(
                """
                CREATE TABLE s.next (id uuid PRIMARY KEY, owner text, word text);
                INSERT INTO s.next SELECT * FROM s.words;
                ALTER TABLE s.words RENAME TO past; ALTER TABLE s.next RENAME TO words
                """)
            try await register("words")
            let before = try await database.feed("ann")
            try await database.execute("DELETE FROM s.past")
            #expect(try await database.feed("ann") == before)
            try await database.execute("UPDATE s.words SET word = 'x' WHERE id = '\(id("a2"))'")
            #expect(try await database.feed("ann").last == "U words a2 2")

            // Renamed, and not registered any more.
            try await database.execute("ALTER TABLE s.words RENAME TO others")
            try await register(nil)
            try await database.execute("UPDATE s.others SET word = 'y'")
            #expect(try await database.feed("ann").last == "U words a2 2")
            #expect(
                try await database.value(
                    "SELECT count(*)::text FROM pg_trigger WHERE tgname LIKE 'oversync_capture_%' AND tgrelid IN ('s.others'::regclass, 's.past'::regclass)"
                ) == "0")
        }
    }

    @Test(
        "Inserts, updates and deletes are captured with the columns that there are",
        arguments: alterations.indices)
    func altered(_ index: Int) async throws {
        let alteration = Self.alterations[index]
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                INSERT INTO s.notes (id, owner, title, "Big")
                VALUES ('\(id("a1"))', 'ann', 'one', 1), ('\(id("a2"))', 'ann', 'one', 1);
                UPDATE s.notes SET title = 'two'
                """)
            try await database.execute(alteration.sql)
            let shown = try #require(try await database.download("ann").last?.payload)
            for (name, value) in alteration.shows { #expect(shown[name] == value, "\(name)") }
            for name in alteration.hides { #expect(shown[name] == nil, "\(name)") }
            try await database.execute(
                """
                DELETE FROM s.notes WHERE id = '\(id("a2"))';
                INSERT INTO s.notes (id, owner) VALUES ('\(id("a3"))', 'ann')
                """)
            #expect(
                try await database.feed("ann", after: 6) == ["D notes a2 4", "I notes a3 1"])
            try await Registration.apply(SyncedDatabase.registrations, on: database.sql)
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Without the key column a write fails, says why, and writes nothing")
    func keyRenamed() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute("ALTER TABLE s.notes RENAME COLUMN id TO uid")
            let error = await #expect(throws: PostgresError.self) {
                try await database.execute(
                    "INSERT INTO s.notes (uid, owner) VALUES ('\(id("a1"))', 'ann')")
            }
            #expect(
                error?.serverError?.message.contains("the key or owner column of s.notes") == true)
            #expect(try await database.value("SELECT count(*)::text FROM s.notes") == "0")
            #expect(try await database.feed("ann") == [])
        }
    }

    @Test("A payload's columns are written alike by the program and in the database")
    func columnsAgree() async throws {
        try await SyncedDatabase.with(
            tables: """
                CREATE DOMAIN s.picture AS bytea;
                CREATE TABLE s.zoo (id uuid PRIMARY KEY, owner text, "Owner" text, gone int, "Long Name" int,
                    "q""uote" text, "it's" int, data bytea, pic s.picture, "Data" bytea,
                    big int GENERATED ALWAYS AS (1) STORED, list int[]);
                ALTER TABLE s.zoo DROP COLUMN gone;
                """,
            registered: "  - {table: s.zoo, owner: owner}"
        ) { database in
            let table = try #require(
                try await database.source.catalog()[TableName(schema: "s", table: "zoo")])
            let list = try await database.value(
                "SELECT \(WireRendering.columnListQuery(relation: "'s.zoo'::regclass"))")
            #expect(list == WireRendering.columnList(of: table))
            #expect(list?.contains(#""data" 17, "pic" "#) == true)
            let columns = try await database.value(
                "SELECT sync.wire_columns('s.zoo'::regclass, 'id', 'owner')")
            #expect(columns == WireRendering.columns(of: table, row: "t"))
            let none = try await database.value(
                "SELECT coalesce(sync.wire_columns('s.zoo'::regclass, 'id', 'gone'), 'none')")
            #expect(none == "none")
        }
    }
}
