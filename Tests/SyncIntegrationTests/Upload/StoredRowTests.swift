import Model
import Postgres
@testable import Sidecar
import Testing
@testable import UploadService

/// Promise P4: every device, the one that sent a row included, ends with the row that PostgreSQL
/// stores.
@Suite("The stored row is the truth", .timeLimit(.minutes(10)))
struct StoredRowTests {
    private static let table = """
        CREATE TYPE s.pair AS (a numeric(10,2), b text);
        CREATE DOMAIN s.cents AS numeric(10,2);
        CREATE DOMAIN s.price AS s.cents;
        CREATE TABLE s.wide (id uuid PRIMARY KEY, owner text NOT NULL, word text,
            amount numeric(10,2), rate real, f double precision, cash money, code char(5),
            v varchar(5), at timestamptz(0), exact timestamptz, plain timestamp, day date, t time,
            span interval, list numeric(10,2)[], reals real[], codes char(3)[],
            times timestamptz(0)[], pair s.pair, price s.price, any_number numeric, doc jsonb,
            ident uuid)
        """
    private static let yaml = "  - {table: s.wide, owner: owner}"

    /// A column, what a device sends for it, and what all devices must then have.
    static let lossyValues: [(column: String, sent: String, stored: String)] = [
        ("amount", "1.005", "1.01"), ("amount", #""2.999""#, "3.00"),
        ("rate", "0.123456789", "0.12345679"), ("f", "9007199254740993", "9.007199254740992e+15"),
        ("cash", "12.345", #""$12.35""#), ("code", #""EU""#, #""EU   ""#),
        ("v", #""abcde  ""#, #""abcde""#),
        ("at", #""2026-03-01T10:00:00.750Z""#, #""2026-03-01T10:00:01+00:00""#),
        ("exact", #""2026-03-01T10:00:00.1234567Z""#, #""2026-03-01T10:00:00.123457+00:00""#),
        ("plain", #""2026-03-01T10:00:00+02:00""#, #""2026-03-01T10:00:00""#),
        ("day", #""2026-03-01T23:00:00Z""#, #""2026-03-01""#),
        ("t", #""10:00:00+02""#, #""10:00:00""#),
        ("span", #""1 day 00:00:00.12345678""#, #""1 day 00:00:00.123457""#),
        ("list", "[1.005,2]", "[1.01,2.00]"), ("reals", "[0.123456789]", "[0.12345679]"),
        ("codes", #"["EU"]"#, #"["EU "]"#),
        ("times", #"["2026-01-01T00:00:00.9Z"]"#, #"["2026-01-01T00:00:01+00:00"]"#),
        ("pair", #"{"a":1.005,"b":"x"}"#, #"{"a":1.01,"b":"x"}"#), ("price", "1.005", "1.01"),
        // Of another kind than the column.
        ("v", "5", #""5""#), ("v", "true", #""true""#), ("cash", "12.34", #""$12.34""#),
        ("list", #""{1}""#, "[1.00]"), ("f", #""1.50""#, "1.5"), ("list", #"["1"]"#, "[1.00]"),
        ("ident", #""""#, "null"),
        (
            "ident", #""{11111111-2222-3333-4444-55555555555A}""#,
            #""11111111-2222-3333-4444-55555555555a""#
        ),
        (
            "ident", #""11111111222233334444555555555555""#,
            #""11111111-2222-3333-4444-555555555555""#
        ),
    ]

    @Test(
        "A value that its column cannot keep becomes the stored one, for everybody",
        arguments: lossyValues)
    func lossy(column: String, sent: String, stored: String) async throws {
        try await SyncedDatabase.with(tables: Self.table, registered: Self.yaml) { database in
            let payload = #"{"word":"a","\#(column)":\#(sent)}"#
            #expect(
                try await database.outcomes("ann", change(1, "INSERT", "wide", id("a1"), payload))
                    == ["applied 1"])
            let own = try await database.own("ann", device: "phone")
            #expect(own.map(\.version) == [1])
            #expect(own.first?.source == "")
            #expect(
                try await database.value(
                    "SELECT (payload -> '\(column)')::text FROM sync.change_log") == stored)
            #expect(try await database.value("SELECT count(*)::text FROM sync.change_log") == "1")
            #expect(try await database.verify().0 == [])
        }
    }

    /// Values that are written otherwise than the column writes them, and are the same.
    static let sameValues: [(column: String, sent: String)] = [
        ("amount", "1.00"), ("amount", #""1.0""#), ("amount", "1e0"), ("rate", "0.10"),
        ("f", "0.30000000000000004"), ("cash", #""12.34""#), ("code", #""EUROP""#), ("v", #""ab""#),
        ("at", #""2026-03-01T12:00:00.000+02:00""#), ("exact", #""2026-03-01 10:00:00Z""#),
        ("exact", "1767225600.5"), ("plain", #""2026-03-01 10:00:00""#), ("day", #""20260301""#),
        ("t", #""10:00""#), ("span", #""P1D""#), ("list", "[1.0]"),
        ("pair", #"{"b":"x","a":1.50}"#), ("price", "1.0"), ("any_number", "1.000"),
        ("doc", #"{"b":1.0,"a":[]}"#), ("doc", "null"),
    ]

    @Test("A value that is only written otherwise stays as it was sent", arguments: sameValues)
    func same(column: String, sent: String) async throws {
        try await SyncedDatabase.with(tables: Self.table, registered: Self.yaml) { database in
            let payload = #"{"\#(column)":\#(sent)}"#
            try await database.upload("ann", change(1, "INSERT", "wide", id("a1"), payload))
            #expect(
                try await database.value("SELECT payload::text FROM sync.change_log") == payload)
            #expect(try await database.own("ann", device: "phone") == [])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("One change is one entry: a repeat after a lost answer finds it by what was sent")
    func lostAnswer() async throws {
        try await SyncedDatabase.with(tables: Self.table, registered: Self.yaml) { database in
            let sent = change(1, "INSERT", "wide", id("a1"), #"{"amount":1.005}"#)
            for _ in 0..<2 {
                let answer = try await database.outcomes("ann", sent)
                #expect(answer == ["applied 1"])
            }
            // Under the same id, another edit: it succeeds the first (V3).
            #expect(
                try await database.outcomes(
                    "ann", change(1, "UPDATE", "wide", id("a1"), #"{"amount":2.005}"#))
                    == ["applied 2"])
            #expect(try await database.feed("ann") == ["I wide a1 1", "U wide a1 2"])
            // A conflict shows the stored row, and whose write it is.
            #expect(
                try await database.outcomes(
                    "ann", device: "laptop",
                    change(1, "UPDATE", "wide", id("a1"), base: 1, #"{"amount":3}"#)
                )[0].hasPrefix("conflict 2 by phone/1 "))
            #expect(
                try await database.value(
                    "SELECT string_agg(payload ->> 'amount', ' ' ORDER BY seq) FROM sync.change_log"
                ) == "1.01 2.01")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("In a chain each entry has the row as its own statement left it")
    func chain() async throws {
        try await SyncedDatabase.with(tables: Self.table, registered: Self.yaml) { database in
            #expect(
                try await database.outcomes(
                    "ann", change(1, "INSERT", "wide", id("a1"), #"{"amount":1.005}"#),
                    change(2, "UPDATE", "wide", id("a1"), base: 1, #"{"word":"w"}"#),
                    change(3, "UPDATE", "wide", id("a1"), base: 2, #"{"rate":0.123456789}"#),
                    change(4, "INSERT", "wide", id("a2"), #"{"amount":4.005}"#),
                    change(5, "DELETE", "wide", id("a2"), base: 1))
                    == ["applied 1", "applied 2", "applied 3", "applied 1", "applied 2"])
            let own = try await database.own("ann", device: "phone")
            #expect(own.map(\.version) == [1, 2, 3, 1, 2])
            #expect(own.map { $0.payload?["amount"] } == ["1.01", nil, "1.01", "4.01", nil])
            #expect(own[2].payload?["rate"] == "0.12345679")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A conflict with a row of the same upload shows the stored row")
    func conflictInBatch() async throws {
        try await SyncedDatabase.with(tables: Self.table, registered: Self.yaml) { database in
            let answer = try await database.outcomes(
                "ann", change(1, "INSERT", "wide", id("a1"), #"{"amount":1.005}"#),
                change(2, "UPDATE", "wide", id("a1"), base: 7, #"{"word":"w"}"#))
            #expect(answer.first == "applied 1")
            #expect(answer.last?.hasPrefix("conflict 1 by phone/1 ") == true)
            #expect(answer.last?.contains(#""amount":1.01,"#) == true)
        }
    }

    @Test(
        "Own changes come back under no name, or under their own where the device names its epoch")
    func ownChanges() async throws {
        try await SyncedDatabase.with(tables: Self.table, registered: Self.yaml) { database in
            try await database.upload(
                "ann", change(1, "INSERT", "notes", id("b1"), #"{"title":"exact"}"#),
                change(2, "INSERT", "wide", id("a1"), #"{"amount":1.005}"#),
                change(3, "INSERT", "wide", id("a2"), #"{"amount":1}"#))
            // A table that stored what it was given stays as it was.
            let own = try await database.own("ann", device: "phone")
            #expect(own.map(\.key) == [id("a1"), id("a2")])
            #expect(own.map(\.source) == ["", ""])
            let epoch = try #require(
                try await database.value("SELECT epoch::text FROM sync.meta"))
            let named = try await database.own("ann", device: "phone", epoch: epoch)
            #expect(named.map(\.source) == ["phone", "phone"])
            #expect(named.map(\.key) == own.map(\.key))
            // Others, and a device that asks for all, see names as ever.
            #expect(
                try await database.own("ann", device: "laptop").map(\.source)
                    == ["phone", "phone", "phone"])
            #expect(
                try await database.download("ann").map(\.source) == ["phone", "phone", "phone"])
            // Nobody else's are concerned.
            try await database.upload(
                "bob", change(1, "INSERT", "wide", id("c1"), #"{"amount":1}"#))
            #expect(try await database.own("bob", device: "phone") == [])
        }
    }

    @Test("A row that a trigger gives another key or owner is refused, and its neighbours are not")
    func moved() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                CREATE FUNCTION s.move() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN
                    IF NEW.title = 'key' THEN NEW.id := gen_random_uuid(); END IF;
                    IF NEW.title = 'owner' THEN NEW.owner := 'bob'; END IF;
                    RETURN NEW;
                END $$;
                CREATE TRIGGER move BEFORE INSERT ON s.notes FOR EACH ROW EXECUTE FUNCTION s.move()
                """)
            let answer = try await database.outcomes(
                "ann", change(1, "INSERT", "notes", id("a1"), #"{"title":"key"}"#),
                change(2, "INSERT", "notes", id("a2"), #"{"title":"good"}"#),
                change(3, "INSERT", "notes", id("a3"), #"{"title":"owner"}"#))
            #expect(answer[1] == "applied 1")
            #expect(!answer[0].hasPrefix("applied") && !answer[2].hasPrefix("applied"))
            #expect(try await database.value("SELECT count(*)::text FROM s.notes") == "1")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A row that the log did not know is taken over with all that it has")
    func takenOver() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                SET session_replication_role = replica;
                INSERT INTO s.notes (id, owner, title, "Big")
                VALUES ('\(id("a1"))', 'ann', 'old', 7);
                RESET session_replication_role
                """)
            let answer = try await database.outcomes(
                "ann", change(1, "INSERT", "notes", id("a1"), #"{"title":"new"}"#))
            #expect(answer == ["applied 1"])
            let own = try await database.own("ann", device: "phone")
            #expect(own.first?.payload?["title"] == "new")
            #expect(own.first?.payload?["big"] == "7")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A trigger of a partition, and one that is made while the service runs, are known")
    func triggers() async throws {
        try await SyncedDatabase.with(
            tables: """
                CREATE TABLE s.parts (id uuid PRIMARY KEY, owner text, word text)
                    PARTITION BY HASH (id);
                CREATE TABLE s.parts_0 PARTITION OF s.parts
                    FOR VALUES WITH (MODULUS 1, REMAINDER 0);
                CREATE FUNCTION s.trim_word() RETURNS trigger LANGUAGE plpgsql AS
                    $$ BEGIN NEW.word := btrim(NEW.word); RETURN NEW; END $$;
                CREATE TRIGGER trim_word BEFORE INSERT ON s.parts_0
                    FOR EACH ROW EXECUTE FUNCTION s.trim_word()
                """, registered: "  - {table: s.parts, owner: owner}"
        ) { database in
            try await database.upload(
                "ann", change(1, "INSERT", "parts", id("a1"), #"{"word":" a "}"#))
            #expect(try await database.own("ann", device: "phone").first?.payload?["word"] == "a")
            try await database.execute(
                """
                CREATE FUNCTION s.shout() RETURNS trigger LANGUAGE plpgsql AS
                    $$ BEGIN NEW.title := upper(NEW.title); RETURN NEW; END $$;
                CREATE TRIGGER shout BEFORE UPDATE ON s.notes
                    FOR EACH ROW EXECUTE FUNCTION s.shout()
                """)
            _ = try await database.source.refresh()
            try await database.upload(
                "ann", change(2, "INSERT", "notes", id("b1"), #"{"title":"one"}"#),
                change(3, "UPDATE", "notes", id("b1"), base: 1, #"{"title":"two"}"#))
            #expect(
                try await database.own("ann", device: "phone").last?.payload?["title"] == "TWO")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Tables that store what they are given get no further statement")
    func costs() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload(
                "ann", change(1, "INSERT", "tags", "t1", #"{"label":"x"}"#),
                change(2, "INSERT", "prefs", "p1", #"{"value":"x"}"#),
                change(3, "INSERT", "notes", id("a1"), #"{"title":"x","Big":1.50,"extra":[1]}"#))
            let statements = BusinessStatements(
                UploadSchema(catalog: try await database.source.catalog()))
            for (index, table) in statements.schema.tables.enumerated() {
                var columns = ColumnSet()
                for (place, column) in table.registered.columns.enumerated()
                where column.name != "at" {
                    columns.insert(place)
                }
                for kind in [MaterializeStatement.Kind.create, .update] {
                    let comparison = statements.stored(
                        .init(table: index, kind, columns), expecting: .asRecorded)
                    #expect(comparison == nil, "\(kind) \(index)")
                }
            }
            // A time needs one only where it is no ordinary one.
            let notes = try #require(
                statements.schema.table(TableName(schema: "s", table: "notes")))
            var all = ColumnSet()
            for place in statements.schema.tables[notes].registered.columns.indices {
                all.insert(place)
            }
            let times = try #require(
                statements.stored(
                    .init(table: notes, .create, all), expecting: .asRecorded))
            #expect(!times.concernsOrdinary)
        }
    }
}
