import Sidecar
import Testing

/// Business tables of every awkward shape, written by uploads and compared by `verify`.
@Suite("Schemas that hurt")
struct SchemaTests {
    @Test("A table that is registered again keeps its number and takes no other")
    func registeredAgain() async throws {
        try await SyncedDatabase.with(
            tables:
                "CREATE TABLE s.things (id uuid PRIMARY KEY, owner text); CREATE TABLE s.more (id uuid PRIMARY KEY)",
            registered: "  - {table: s.things, owner: owner}"
        ) { database in
            let numbers =
                "SELECT string_agg(table_id::text, ',' ORDER BY table_id) FROM sync.catalog"
            let before = try #require(try await database.value(numbers))
            let tables =
                SyncedDatabase.registrations
                + (try RegistrationFile.parse("tables:\n  - {table: s.things, owner: owner}"))
            for _ in 1...3 { try await Registration.apply(tables, on: database.sql) }
            #expect(try await database.value(numbers) == before)
            let more = try RegistrationFile.parse("tables:\n  - {table: s.more, mode: sidecar}")
            try await Registration.apply(tables + more, on: database.sql)
            let last = try #require(Int(before.split(separator: ",").last ?? ""))
            #expect(try await database.value(numbers) == before + ",\(last + 1)")
        }
    }

    @Test(
        "A table whose names are as long as PostgreSQL's can be is written, edited and deleted from"
    )
    func longestNames() async throws {
        let schema = String(repeating: "s", count: 63)
        let table = String(repeating: "measurement_", count: 6).prefix(63)
        let script = """
            CREATE SCHEMA \(schema);
            CREATE TABLE \(schema).\(table) (id uuid PRIMARY KEY, owner text, n int,
                parent uuid REFERENCES \(schema).\(table))
            """
        func edit(_ n: Int, _ op: String, _ payload: String? = nil) -> String {
            let tail = payload.map { #","payload":\#($0)"# } ?? ""
            return
                #"{"source_change_id":\#(n),"schema":"\#(schema)","table":"\#(table)","op":"\#(op)","pk":"\#(id("a1"))","server_version":\#(n - 1)\#(tail)}"#
        }
        let edits = [
            edit(1, "INSERT", #"{"n":1}"#),
            edit(2, "UPDATE", #"{"n":2,"parent":"\#(id("a1"))"}"#),
            edit(3, "DELETE"),
        ]
        try await SyncedDatabase.with(
            tables: script, registered: "  - {table: \(schema).\(table), owner: owner}"
        ) { database in
            for (version, edit) in edits.enumerated() {
                let outcomes = try await database.outcomes("ann", edit)
                #expect(outcomes == ["applied \(version + 1)"])
            }
            let tables = try await database.download("ann").map(\.table)
            #expect(tables == Array(repeating: String(table), count: 3))
            #expect(
                try await database.value("SELECT count(*)::text FROM \(schema).\(table)") == "0")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("H6: values of every column type are stored as the payload says, and verify agrees")
    func conversions() async throws {
        let table = """
            CREATE DOMAIN s.short AS text CHECK (length(value) < 9);
            CREATE TABLE s.types (id uuid PRIMARY KEY, owner uuid, u uuid, b bytea, ts timestamptz, plain timestamp,
                d date, t time, yes boolean, n numeric, money numeric(10,2), big bigint, f double precision, j json,
                jb jsonb, txt text, vc varchar(5), c char(3), list int[], dom s.short, def text DEFAULT 'default',
                iv interval, ip inet, pt point, gen text GENERATED ALWAYS AS (txt || '!') STORED,
                ident int GENERATED ALWAYS AS IDENTITY)
            """
        /// Column, JSON, what PostgreSQL must have.
        let values: [(String, String, String)] = [
            (
                "u", #""{11111111-2222-3333-4444-555555555555}""#,
                "11111111-2222-3333-4444-555555555555"
            ),
            ("u", #""EREREREREREREREREREREQ==""#, "11111111-1111-1111-1111-111111111111"),
            ("u", #""11111111222233334444555555555555""#, "11111111-2222-3333-4444-555555555555"),
            ("b", #""AQID/w==""#, "\\x010203ff"),
            ("b", #""""#, "\\x"),
            (
                "b", #""11111111-2222-3333-4444-555555555555""#,
                "\\x11111111222233334444555555555555"
            ),
            ("ts", #""2026-01-31T12:00:00.123456+05:30""#, "2026-01-31 06:30:00.123456+00"),
            ("ts", "1767225600.5", "2026-01-01 00:00:00.5+00"),
            ("ts", #""1767225600""#, "2026-01-01 00:00:00+00"),
            ("plain", #""2026-01-31T12:00:00""#, "2026-01-31 12:00:00"),
            ("d", #""2026-02-28""#, "2026-02-28"),
            ("yes", "true", "true"), ("yes", "0", "false"), ("yes", #""1""#, "true"),
            ("n", "123456789012345678901234567890.1200", "123456789012345678901234567890.1200"),
            ("n", "1e3", "1000"), ("n", #""0.10""#, "0.10"),
            ("money", "1.239", "1.24"),
            ("big", "9223372036854775807", "9223372036854775807"),
            ("f", "0.1", "0.1"),
            ("j", #"{"b":1,"a":[1.50]}"#, #"{"b":1,"a":[1.50]}"#),
            ("jb", #"{"b":1,"a":[1.50]}"#, #"{"a": [1.50], "b": 1}"#),
            ("jb", "null", "NULL"),
            ("txt", #""ü\"\\\n\u00e9\ud83d\ude00'""#, "ü\"\\\né😀'"),
            ("txt", "12.50", "12.50"), ("txt", "null", "NULL"), ("txt", #""""#, ""),
            ("vc", #""12345""#, "12345"), ("c", #""ab""#, "ab"), ("list", "[1,2,3]", "{1,2,3}"),
            ("dom", #""short""#, "short"), ("iv", #""1 day""#, "1 day"),
            ("ip", #""10.0.0.1""#, "10.0.0.1/32"),
            ("pt", #""(1,2)""#, "(1,2)"), ("gen", #""ignored""#, "NULL"),
            ("nothing", "1", "default"),
            ("owner", #""22222222-2222-3333-4444-555555555555""#, Self.user),
        ]
        try await SyncedDatabase.with(
            tables: table, registered: "  - {table: s.types, owner: owner}"
        ) { database in
            try await database.execute("SET TimeZone = 'UTC'")
            for (n, value) in values.enumerated() {
                let key = id(String(0x100 + n, radix: 16))
                let answer = try await database.outcomes(
                    Self.user,
                    change(n + 1, "INSERT", "types", key, #"{"\#(value.0)":\#(value.1)}"#))
                #expect(answer == ["applied 1"], "\(value)")
                let column = value.0 == "nothing" ? "def" : value.0
                let stored = try await database.value(
                    "SELECT \(column)::text FROM s.types WHERE id = '\(key)'")
                #expect(stored == value.2, "\(value)")
            }
            #expect(try await database.verify().0 == [])
        }
    }

    private static let user = "aaaaaaaa-0000-4000-8000-000000000001"

    @Test(
        "A payload names what it changes: absent keys keep their value, null is NULL, defaults are for inserts"
    )
    func partial() async throws {
        try await SyncedDatabase.with(
            tables:
                "CREATE TABLE s.part (id uuid PRIMARY KEY, owner text, a text DEFAULT 'da', b text DEFAULT 'db', c int)",
            registered: "  - {table: s.part, owner: owner}"
        ) { database in
            func row() async throws -> String? {
                try await database.value(
                    "SELECT concat_ws('|', coalesce(a, '-'), coalesce(b, '-'), coalesce(c, -1)) FROM s.part WHERE id = '\(id("a1"))'"
                )
            }
            let key = id("a1")
            try await database.upload("ann", change(1, "INSERT", "part", key, #"{"b":null,"c":1}"#))
            #expect(try await row() == "da|-|1")
            try await database.upload(
                "ann",
                change(2, "UPDATE", "part", key, base: 1, #"{"b":"x","unknown":{"deep":[]}}"#))
            #expect(try await row() == "da|x|1")
            try await database.upload("ann", change(3, "UPDATE", "part", key, base: 2, "{}"))
            #expect(try await row() == "da|x|1")
            #expect(
                try await database.download("ann")[1].payload?.keys.sorted() == ["b", "unknown"])
            // Within one batch: rows with different sets of keys, and one row twice.
            let answer = try await database.outcomes(
                "ann", change(4, "UPDATE", "part", key, base: 3, #"{"a":null}"#),
                change(5, "UPDATE", "part", key, base: 4, #"{"c":7}"#),
                change(6, "INSERT", "part", id("a2"), #"{"c":8}"#))
            #expect(answer == ["applied 4", "applied 5", "applied 1"])
            #expect(try await row() == "-|x|7")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("The first upload after a change of the table's columns finds it out and is applied")
    func changedColumns() async throws {
        try await SyncedDatabase.with { database in
            let extra = #"{"title":"x","extra":{"a":1}}"#
            try await database.upload("ann", change(1, "INSERT", "notes", id("a1"), extra))
            try await database.execute("ALTER TABLE s.notes DROP COLUMN extra")
            #expect(
                try await database.outcomes("ann", change(2, "INSERT", "notes", id("a2"), extra))
                    == ["applied 1"])
            try await database.execute(
                "ALTER TABLE s.notes ALTER COLUMN title TYPE json USING NULL")
            #expect(
                try await database.outcomes("ann", change(3, "INSERT", "notes", id("a3"), extra))
                    == ["applied 1"])
            // A table that is gone refuses its own rows and holds up no others.
            try await database.execute("ALTER TABLE s.notes RENAME TO moved")
            #expect(
                try await database.outcomes(
                    "ann", change(4, "INSERT", "notes", id("a4"), "{}"),
                    change(5, "INSERT", "prefs", "p1", "{}"))
                    == ["materialize_error 42P01", "applied 1"])
            try await database.execute("ALTER TABLE s.moved RENAME TO notes")
            #expect(
                try await database.outcomes("ann", change(4, "INSERT", "notes", id("a4"), "{}"))
                    == ["applied 1"])
        }
    }

    @Test("Quoted, reserved and mixed-case names; a text key; a key that is unique, not primary")
    func names() async throws {
        try await SyncedDatabase.with(
            tables: """
                CREATE TABLE s."order" (
                    "select" text NOT NULL, "Owner Id" text, "from" int, "CamelCase" text, "with""quote" int,
                    nr int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY);
                CREATE UNIQUE INDEX ON s."order" ("select");
                """,
            registered: #"  - {table: s.order, owner: "Owner Id", key: select}"#
        ) { database in
            let hard = #"k'\"{}é"#
            let answer = try await database.outcomes(
                "ann",
                change(1, "INSERT", "order", hard, #"{"from":1,"camelcase":"x","with\"quote":5}"#),
                change(2, "INSERT", "order", String(repeating: "k", count: 512), #"{"from":2}"#),
                change(3, "INSERT", "order", String(repeating: "k", count: 513), #"{"from":2}"#),
                change(4, "INSERT", "order", "", #"{"from":2}"#))
            #expect(
                answer == ["applied 1", "applied 1", "invalid bad_payload", "invalid bad_payload"])
            #expect(
                try await database.value(
                    #"SELECT "CamelCase" || "with""quote" FROM s."order" WHERE "select" = 'k''"{}é'"#
                ) == "x5")
            try await database.execute(
                #"UPDATE s."order" SET "from" = 9, "CamelCase" = 'y'; DELETE FROM s."order" WHERE "select" LIKE 'kkk%'"#
            )
            let changes = try await database.download("ann")
            #expect(changes.map(\.version) == [1, 1, 2, 2, 3])
            #expect(changes[2].key == "k'\"{}é")
            #expect(changes[2].payload?["camelcase"] == "y")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Two spellings of one Unicode text are two keys, and two parents")
    func canonicalEquivalence() async throws {
        try await SyncedDatabase.with(
            tables: """
                CREATE TABLE s.words (id text PRIMARY KEY, owner text);
                CREATE TABLE s.uses (id uuid PRIMARY KEY, owner text, word text REFERENCES s.words);
                """,
            registered: """
                  - {table: s.words, owner: owner}
                  - {table: s.uses, owner: owner}
                """
        ) { database in
            let composed = "\u{e9}"
            let decomposed = "e\u{301}"
            let answer = try await database.outcomes(
                "ann", change(1, "INSERT", "words", composed, "{}"),
                change(2, "INSERT", "uses", id("a1"), #"{"word":"\#(composed)"}"#),
                change(3, "INSERT", "uses", id("a2"), #"{"word":"\#(decomposed)"}"#))
            #expect(
                answer == ["applied 1", "applied 1", "invalid fk_missing s.words:\(decomposed)"])
            #expect(
                try await database.outcomes("ann", change(4, "INSERT", "words", decomposed, "{}"))
                    == ["applied 1"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Self references, a cycle of tables, and keys of several columns in another order")
    func references() async throws {
        try await SyncedDatabase.with(
            tables: """
                CREATE TABLE s.tree (id uuid PRIMARY KEY, owner text, up uuid REFERENCES s.tree DEFERRABLE INITIALLY DEFERRED);
                CREATE TABLE s.left_ (id uuid PRIMARY KEY, owner text, other uuid);
                CREATE TABLE s.right_ (id uuid PRIMARY KEY, owner text,
                    other uuid REFERENCES s.left_ DEFERRABLE INITIALLY DEFERRED);
                ALTER TABLE s.left_ ADD FOREIGN KEY (other) REFERENCES s.right_ DEFERRABLE INITIALLY DEFERRED;
                CREATE TABLE s.places (owner text, id uuid, code text, nr int, PRIMARY KEY (owner, id), UNIQUE (nr, owner, code));
                CREATE TABLE s.visits (id uuid PRIMARY KEY, owner text, place_code text, place_nr int, place uuid,
                    FOREIGN KEY (owner, place_code, place_nr) REFERENCES s.places (owner, code, nr),
                    FOREIGN KEY (place, owner) REFERENCES s.places (id, owner));
                """,
            registered: """
                  - {table: s.tree, owner: owner}
                  - {table: s.left_, owner: owner}
                  - {table: s.right_, owner: owner}
                  - {table: s.places, owner: owner}
                  - {table: s.visits, owner: owner}
                """
        ) { database in
            func tree(_ n: Int, _ key: String, up: String) -> String {
                change(n, "INSERT", "tree", id(key), #"{"up":"\#(id(up))"}"#)
            }
            // A row that is its own parent; a parent before its child; a child before its parent.
            let first = try await database.outcomes(
                "ann", tree(1, "a1", up: "a1"), tree(2, "a2", up: "a1"), tree(3, "a4", up: "a3"),
                tree(4, "a3", up: "a2"))
            #expect(first[0...1] == ["applied 1", "applied 1"])
            #expect(first[3] == "applied 1")
            // The row that stood before its parent is taken as soon as it is sent again.
            if first[2] != "applied 1" {
                #expect(first[2] == "invalid fk_missing s.tree:\(id("a3"))")
                #expect(
                    try await database.outcomes("ann", tree(3, "a4", up: "a3")) == ["applied 1"])
            }
            // Two tables that point at each other: first without the pointer, then with it.
            let cycle = try await database.outcomes(
                "ann", change(10, "INSERT", "left_", id("b1"), "{}"),
                change(11, "INSERT", "right_", id("c1"), #"{"other":"\#(id("b1"))"}"#),
                change(12, "UPDATE", "left_", id("b1"), base: 1, #"{"other":"\#(id("c1"))"}"#))
            #expect(cycle.prefix(2) == ["applied 1", "applied 1"])
            if cycle[2] != "applied 2" {
                #expect(
                    try await database.outcomes(
                        "ann",
                        change(
                            12, "UPDATE", "left_", id("b1"), base: 1, #"{"other":"\#(id("c1"))"}"#))
                        == ["applied 2"])
            }
            let visit = #"{"place_code":"x","place_nr":7,"place":"\#(id("d1"))"}"#
            let orphan = try await database.outcomes(
                "ann", change(20, "INSERT", "visits", id("e1"), visit))
            #expect(orphan.first?.hasPrefix("invalid fk_missing s.places:") == true)
            let both = try await database.outcomes(
                "ann", change(20, "INSERT", "visits", id("e1"), visit),
                change(21, "INSERT", "places", id("d1"), #"{"code":"x","nr":7}"#))
            #expect(both == ["applied 1", "applied 1"])
            // Another user's place of the same key is no parent.
            let stranger = try await database.outcomes(
                "bob", change(1, "INSERT", "visits", id("e2"), visit))
            #expect(stranger.first?.hasPrefix("invalid fk_missing s.places:") == true)
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Foreign keys that cannot be deferred hold inside one batch, whatever its order")
    func notDeferrable() async throws {
        try await SyncedDatabase.with { database in
            let items = (0..<50).map { n in
                change(
                    n + 1, "INSERT", "items", id("b\(n + 100)"),
                    #"{"note_id":"\#(id("a\(n + 100)"))","n":\#(n)}"#)
            }
            let notes = (0..<50).map { n in
                change(n + 101, "INSERT", "notes", id("a\(n + 100)"), "{}")
            }
            let answer = try await database.outcomes("ann", (items + notes).joined(separator: ","))
            #expect(answer.allSatisfy { $0 == "applied 1" })
            let deletes =
                (0..<50).map { n in change(n + 201, "DELETE", "notes", id("a\(n + 100)"), base: 1) }
                + (0..<50).map { n in change(n + 301, "DELETE", "items", id("b\(n + 100)"), base: 1)
                }
            let gone = try await database.outcomes("ann", deletes.joined(separator: ","))
            #expect(gone.allSatisfy { $0 == "applied 2" })
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A table that the server numbers syncs by a uuid beside the number")
    func numbered() async throws {
        try await SyncedDatabase.with(
            tables: """
                CREATE TABLE s.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                    owner text, title text);
                INSERT INTO s.orders (owner, title) VALUES ('ann', 'old');
                ALTER TABLE s.orders ADD sync_id uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE;
                """, registered: "  - {table: s.orders, owner: owner, key: sync_id}"
        ) { database in
            let lines = try await database.outcomes(
                "ann", change(1, "INSERT", "orders", id("a1"), #"{"title":"new","id":null}"#))
            #expect(lines == ["applied 1"])
            try await database.execute("INSERT INTO s.orders (owner, title) VALUES ('ann', 'sql')")
            let rows = try await database.download("ann").map(\.payload)
            #expect(rows.map { $0?["id"] } == ["2", "3"])
            #expect(rows.map { $0?["title"] } == ["new", "sql"])
            #expect(
                try await database.outcomes(
                    "ann", change(2, "UPDATE", "orders", id("a1"), base: 1, #"{"title":"newer"}"#))
                    == ["applied 2"])
            #expect(
                try await database.verify().0
                    .filter { !$0.hasPrefix("unknown_row") } == [])
        }
    }
}
