import Model
import Postgres
import Testing
@testable import UploadService

/// Errors whose codes speak of the server elsewhere, and which a trigger of one table meets.
@Suite("What a trigger meets is the trouble of its table, not of the server")
struct TriggerTroubleTests {
    private static let tables = """
        CREATE EXTENSION dblink;
        CREATE TABLE s.rows (id uuid PRIMARY KEY, owner text, n int);
        """
    private static let yaml = "  - {table: s.rows, owner: owner}"

    /// A trigger of the team's on `s.rows`.
    ///
    /// - Parameter isOwners: it has the rights of its owner, a superuser.
    private static func trigger(
        _ body: String, isOwners: Bool = false, _ time: String = "BEFORE"
    ) -> String {
        """
        CREATE FUNCTION s.meet() RETURNS trigger LANGUAGE plpgsql
            SECURITY \(isOwners ? "DEFINER" : "INVOKER") AS $$
        BEGIN \(body); RETURN NEW; END $$;
        CREATE TRIGGER meet \(time) INSERT ON s.rows FOR EACH ROW EXECUTE FUNCTION s.meet();
        """
    }

    /// Four rows that the trigger meets, each with a neighbour that it does not.
    private static let mixed = (1...4).flatMap { n in
        [
            change(n, "INSERT", "rows", id("a\(n)"), #"{"n":\#(n)}"#),
            change(10 + n, "INSERT", "notes", id("b\(n)"), #"{"title":"t"}"#),
        ]
    }

    /// What the trigger does, and the SQLSTATE.
    static let troubles: [(body: String, state: String)] = [
        ("PERFORM dblink_connect('host=127.0.0.1 port=1')", "08001"),
        ("PERFORM pg_read_file('/nowhere')", "58P01"),
        ("PERFORM amvalidate(0)", "XX000"),
        ("COMMIT", "2D000"),
        ("EXECUTE 'VACUUM s.rows'", "25001"),
        ("ASSERT NEW.n > 100", "P0004"),
        ("CASE NEW.n WHEN -1 THEN NULL; END CASE", "20000"),
    ]

    @Test("Its rows are refused and recorded, and others are applied", arguments: troubles)
    func refused(body: String, state: String) async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            try await database.execute(Self.trigger(body, isOwners: true))
            let lines = try await database.outcomes("ann", Self.mixed.joined(separator: ","))
            #expect(
                lines == (1...4).flatMap { _ in ["materialize_error \(state)", "applied 1"] })
            #expect(
                try await database.value(
                    "SELECT count(*) || ' ' || min(sqlstate) FROM sync.materialize_failures")
                    == "4 \(state)")
            try await database.execute("DROP TRIGGER meet ON s.rows")
            let again = try await database.outcomes("ann", Self.mixed[0])
            #expect(again == ["applied 1"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Where the disk under a table is full, its rows are postponed, and others are applied")
    func fullDisk() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            // PostgreSQL meets ENOSPC itself, as it does when a table cannot grow.
            try await database.execute(
                Self.trigger("COPY (SELECT repeat('x', 100000)) TO '/dev/full'", isOwners: true))
            let answer = try await database.upload("ann", Self.mixed.joined(separator: ","))
            #expect(
                answer.outcomes.map(\.line)
                    == (1...4).flatMap { _ in ["materialize_error 53100", "applied 1"] })
            #expect(
                answer.blockedTables.map { "\($0.key) \($0.value.rawValue)" } == ["s.rows 53100"])
            let recorded = "SELECT count(*) FROM sync.materialize_failures"
            #expect(try await database.value(recorded) == "0")
            try await database.execute("DROP TRIGGER meet ON s.rows")
            #expect(try await database.outcomes("ann", Self.mixed[0]) == ["applied 1"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Prepared statements that a trigger removes fail no upload, whoever comes next")
    func deallocated() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            try await database.execute(Self.trigger("DEALLOCATE ALL"))
            for n in 1...6 {
                let lines = try await database.outcomes(
                    "ann", change(n, "INSERT", "rows", id("a\(n)"), #"{"n":\#(n)}"#),
                    change(10 + n, "INSERT", "rows", id("c\(n)"), #"{"n":"many"}"#),
                    change(20 + n, "INSERT", "notes", id("b\(n)"), "{}"))
                #expect(lines == ["applied 1", "materialize_error 22P02", "applied 1"])
                let others = try await database.outcomes(
                    "bob", change(n, "INSERT", "notes", id("d\(n)"), "{}"))
                #expect(others == ["applied 1"])
            }
            #expect(try await database.verify().0 == [])
        }
    }

    /// What a trigger changes in its transaction, and what becomes of its rows and of others that
    /// are written after them.
    static let settings: [(body: String, lines: [String])] = [
        ("SET LOCAL search_path = nowhere", ["applied 1", "applied 1"]),
        (
            "SET LOCAL search_path = nowhere; SET CONSTRAINTS ALL DEFERRED",
            ["applied 1", "applied 1"]
        ),
        ("SET LOCAL row_security = off", ["applied 1", "applied 1"]),
        (
            "SET LOCAL check_function_bodies = off; SET LOCAL work_mem = '64kB'",
            ["applied 1", "applied 1"]
        ),
        ("CREATE TEMP TABLE notes (id int) ON COMMIT DROP", ["applied 1", "applied 1"]),
        ("PERFORM pg_cancel_backend(pg_backend_pid())", ["materialize_error 57014", "applied 1"]),
        ("PERFORM pg_notify('x', repeat('x', 9000))", ["materialize_error 22023", "applied 1"]),
        ("PERFORM nextval('s.numbers')", ["materialize_error 2200H", "applied 1"]),
    ]

    @Test("What it sets in the transaction fails no other row", arguments: settings.indices)
    func changedSettings(_ index: Int) async throws {
        let (body, lines) = Self.settings[index]
        try await SyncedDatabase.with(
            tables: Self.tables
                + "CREATE SEQUENCE s.numbers MAXVALUE 2; SELECT setval('s.numbers', 2);"
                + "GRANT ALL ON SEQUENCE s.numbers TO PUBLIC;",
            registered: Self.yaml
        ) { database in
            try await database.execute(Self.trigger(body))
            let answer = try await database.outcomes(
                "ann", change(1, "INSERT", "rows", id("a1"), #"{"n":1}"#),
                change(2, "INSERT", "notes", id("b1"), "{}"))
            #expect(answer == lines)
            let next = try await database.outcomes(
                "bob", change(1, "INSERT", "notes", id("b2"), "{}"))
            #expect(next == ["applied 1"])
            #expect(try await database.verify().0 == [])
        }
    }

    /// What a trigger changes for the whole session.
    static let sessionSettings = [
        "SET default_transaction_read_only = on", "SET client_encoding = 'LATIN1'",
        "SET row_security = off", "SET statement_timeout = 5", "SET search_path = nowhere",
        "SET bytea_output = escape", "SET \"TimeZone\" = 'Asia/Kolkata'", "RESET ALL",
        "SET LOCAL client_encoding = 'LATIN1'",
    ]

    @Test(
        "What it sets for its session changes nothing for the next rows, uploads and users",
        arguments: sessionSettings)
    func changedSession(_ body: String) async throws {
        try await SyncedDatabase.with(
            tables: Self.tables
                + "CREATE TABLE s.times (id uuid PRIMARY KEY, owner text, at timestamptz, t text);",
            registered: Self.yaml + "\n  - {table: s.times, owner: owner}"
        ) { database in
            try await database.execute(Self.trigger(body, "AFTER"))
            let time = #"{"at":"2026-02-03T04:05:06","t":"Zoë"}"#
            for n in 1...3 {
                let answer = try await database.outcomes(
                    "ann", change(3 * n, "INSERT", "rows", id("a\(n)"), #"{"n":1}"#),
                    change(3 * n + 1, "INSERT", "times", id("b\(n)"), time),
                    change(3 * n + 2, "INSERT", "notes", id("c\(n)"), #"{"title":"Zoë"}"#))
                #expect(answer == ["applied 1", "applied 1", "applied 1"])
                for (user, row) in [("bob", id("d\(n)")), ("cat", id("e\(n)"))] {
                    let next = try await database.outcomes(
                        user, change(n, "INSERT", "times", row, time))
                    #expect(next == ["applied 1"])
                }
            }
            let stored = "SELECT string_agg(DISTINCT t || ' ' || (at AT TIME ZONE 'UTC'), ',')"
            #expect(
                try await database.value("\(stored) FROM s.times") == "Zoë 2026-02-03 04:05:06")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("How it has values written in its transaction changes nothing of what devices get")
    func styles() async throws {
        try await SyncedDatabase.with(
            tables: """
                CREATE TABLE s.styled (id uuid PRIMARY KEY, owner text, at timestamptz(0), day date,
                    span interval(0), size real, data bytea, made timestamptz DEFAULT now(),
                    price money, title text);
                """, registered: "  - {table: s.styled, owner: owner}"
        ) { database in
            try await database.execute(
                """
                CREATE FUNCTION s.style() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN
                    SET LOCAL "DateStyle" = 'German, DMY'; SET LOCAL "IntervalStyle" = sql_standard;
                    SET LOCAL "TimeZone" = 'Asia/Kolkata'; SET LOCAL bytea_output = escape;
                    SET LOCAL extra_float_digits = -3; SET LOCAL lc_monetary = 'C';
                    NEW.title := NEW.title || '!';
                    RETURN NEW;
                END $$;
                CREATE TRIGGER style BEFORE INSERT OR UPDATE ON s.styled
                    FOR EACH ROW EXECUTE FUNCTION s.style();
                """)
            let payload = #"""
                {"at":"2026-02-03T04:05:06.7Z","day":"2026-02-03","span":"1 day 00:00:01.6",
                "size":1.2345678,"data":"AP8=","title":"t"}
                """#
            #expect(
                try await database.outcomes("ann", change(1, "INSERT", "styled", id("a1"), payload))
                    == ["applied 1"])
            let stored = try await database.download("ann").first?.payload
            #expect(stored?["at"] == "2026-02-03T04:05:07+00:00")
            #expect(stored?["day"] == "2026-02-03")
            #expect(stored?["span"] == "1 day 00:00:02")
            #expect(stored?["size"]?.hasPrefix("1.2345678") == true)
            #expect(stored?["data"] == "AP8=")
            #expect(stored?["title"] == "t!")
            #expect(stored?["made"]?.hasSuffix("+00:00") == true)
            #expect(try await database.verify().0 == [])
            try await database.execute("UPDATE s.styled SET title = 'plain'")
            #expect(try await database.download("ann").last?.payload?["day"] == "2026-02-03")
            #expect(try await database.verify().0 == [])
        }
    }
}
