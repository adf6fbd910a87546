import Postgres
@testable import Sidecar
import Testing
import TestSupport

@Suite("Capture, repair and verify depend on no setting of a session, a role or a database")
struct SessionSettingsTests {
    private static let tables = """
        CREATE DOMAIN s.length AS interval;
        CREATE DOMAIN s.lengths AS s.length;
        CREATE TYPE s.visit AS (day date, days daterange, note bytea);
        CREATE TABLE s.shifts (id uuid PRIMARY KEY, owner text, name text, length s.lengths,
            days daterange,
            at tstzrange, spans tsmultirange, times timestamptz[], pauses interval[], blobs bytea[],
                visit s.visit,
            price money, ratio real, exact float8, began timestamptz, "odd\\name" text);
        """
    private static let yaml = "  - {table: s.shifts, owner: owner}"

    /// Each setting with a value that changes what PostgreSQL writes.
    static let settings = [
        "DateStyle": "SQL, DMY", "IntervalStyle": "sql_standard", "bytea_output": "escape",
        "extra_float_digits": "-10", "TimeZone": "America/New_York", "search_path": "s, public",
        "lc_monetary": "C", "standard_conforming_strings": "off", "xmlbinary": "hex",
        "row_security": "off", "quote_all_identifiers": "on",
    ]

    private static let values = """
        'a', '1 mon -2 hours', '[2026-02-01,2026-03-05)',
            '[2026-02-01 00:00+00,2026-02-03 00:00+00)',
        '{[2026-02-01 00:00,2026-02-03 00:00)}', ARRAY['2026-02-01 00:00+00'::timestamptz],
        ARRAY['-1 day +02:00:00'::interval], ARRAY['\\x0a'::bytea],
        ROW('2026-02-01'::date, daterange('2026-02-01', '2026-03-05'), '\\x0b'::bytea)::s.visit,
        12.5::money, 0.1::real, 0.1::float8 + 0.2, '2026-02-01 00:00+00', 'o'
        """

    /// What a device must get, no matter who wrote the row.
    private static let payload: [String: String] = [
        "name": "a", "length": "1 mon -02:00:00", "days": "[2026-02-01,2026-03-05)",
        "at": #"["2026-02-01 00:00:00+00","2026-02-03 00:00:00+00")"#,
        "spans": #"{["2026-02-01 00:00:00","2026-02-03 00:00:00")}"#,
        "began": "2026-02-01T00:00:00+00:00", "price": "$12.50", "odd\\name": "o",
    ]

    private static func expectPayloads(_ database: SyncedDatabase, _ count: Int) async throws {
        let changes = try await database.download("ann")
        #expect(changes.count == count)
        for change in changes {
            for (name, value) in payload { #expect(change.payload?[name] == value, "\(name)") }
        }
        // The rest of it, too, is the same for all.
        let log = "sync.change_log WHERE payload::jsonb ? 'visit'"
        #expect(
            try await database.value(
                "SELECT count(DISTINCT payload::jsonb - 'id')::text FROM \(log)") == "1")
        let first = try await database.value(
            "SELECT format('%s %s', payload -> 'visit', payload -> 'exact') FROM \(log) LIMIT 1")
        let text = try #require(first)
        #expect(text.contains("[2026-02-01,2026-03-05)"))
        #expect(text.contains(#"\\x0b"#))
        #expect(text.hasSuffix(" 0.30000000000000004"))
        #expect(try await database.verify().0 == [])
    }

    /// The row in the settings that PostgreSQL has by itself, so that the writer's change nothing
    /// of the input.
    private static func insert(_ key: String) -> String {
        "INSERT INTO s.shifts VALUES ('\(id(key))', 'ann', \(values))"
    }

    @Test("In the session that writes", arguments: settings.keys.sorted())
    func session(name: String) async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            let value = try #require(Self.settings[name])
            // The values are made first: a setting may change what their text means.
            try await database.execute(
                """
                CREATE TEMPORARY TABLE made AS SELECT * FROM s.shifts;
                \(Self.insert("a1")); INSERT INTO made SELECT * FROM s.shifts;
                SET \(name) = \(name == "search_path" ? value : "'\(value)'");
                INSERT INTO s.shifts SELECT '\(id("a2"))', (m).owner, (m).name, (m).length,
                    (m).days, (m).at,
                    (m).spans, (m).times, (m).pauses, (m).blobs, (m).visit, (m).price, (m).ratio,
                        (m).exact,
                    (m).began, (m)."odd\\name" FROM made AS m;
                UPDATE s.shifts SET name = name || '';
                RESET \(name)
                """)
            // An update that changes nothing is no change, however it would be written.
            try await Self.expectPayloads(database, 2)
        }
    }

    @Test("Of the database, for every session that does not set it", arguments: [true, false])
    func everywhere(ofRole: Bool) async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            try await database.execute(Self.insert("a1"))
            let name = try #require(try await database.value("SELECT current_database()::text"))
            let role = "styled_\(name)"
            let place = ofRole ? "ROLE \"\(role)\" IN DATABASE" : "DATABASE"
            try await database.execute("CREATE ROLE \"\(role)\" LOGIN SUPERUSER")
            for (setting, value) in Self.settings {
                let literal = setting == "search_path" ? value : "'\(value)'"
                try await database.execute(
                    "ALTER \(place) \"\(name)\" SET \(setting) = \(literal)")
            }
            let outcome: Result<Void, any Error>
            do {
                outcome = .success(
                    try await Self.write(database, as: ofRole ? role : nil))
            } catch {
                outcome = .failure(error)
            }
            if ofRole { try await database.execute("ALTER \(place) \"\(name)\" RESET ALL") }
            try await database.execute("DROP ROLE \"\(role)\"")
            try outcome.get()
        }
    }

    /// In a session that has the settings: plain SQL, a repair of what triggers did not see, and
    /// `verify`.
    private static func write(_ database: SyncedDatabase, as role: String?) async throws {
        let url = role.map { TestDatabase.url(database.url, as: $0) } ?? database.url
        let styled = try await SyncedDatabase.connect(url)
        defer { styled.close() }
        let style = try await styled.run(
            Command(Statement(name: "style", sql: "SELECT current_setting('IntervalStyle')")))
        #expect(try style.string(0, 0) == "sql_standard")
        let copy = """
            SELECT gen_random_uuid(), owner, name, length, days, at, spans, times, pauses, blobs,
                visit, price,
                ratio, exact, began, "odd\\name" FROM s.shifts LIMIT 1
            """
        try await styled.execute(script: "INSERT INTO s.shifts \(copy)")
        try await styled.execute(
            script: """
                SET session_replication_role = replica; INSERT INTO s.shifts \(copy);
                RESET session_replication_role
                """)
        let repair = Repair(connection: styled, acceptsDeletes: false)
        let reading = try await SyncedDatabase.connect(url)
        defer { reading.close() }
        var mended: Int64 = 0
        _ = try await Verifier(connection: reading).run { mended += try await repair.mend($0) }
        #expect(mended == 1)
        var left: [Difference] = []
        _ = try await Verifier(connection: reading).run { left += $0 }
        #expect(left == [])
        try await expectPayloads(database, 3)
    }

    @Test("Row-level security that hides rows stops verify, adopt and repair for that table alone")
    func hiddenRows() async throws {
        try await SyncedDatabase.with { database in
            try await database.fill()
            let name = try #require(try await database.value("SELECT current_database()::text"))
            let role = "hidden_\(name)"
            try await database.execute(
                """
                CREATE ROLE "\(role)" LOGIN; GRANT ALL ON SCHEMA s, sync TO "\(role)";
                GRANT ALL ON ALL TABLES IN SCHEMA s, sync TO "\(role)";
                GRANT ALL ON ALL FUNCTIONS IN SCHEMA sync TO "\(role)";
                ALTER TABLE s.notes OWNER TO "\(role)";
                ALTER TABLE s.notes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY
                """)
            let outcome: Result<[String], any Error>
            do {
                let styled = try await SyncedDatabase.connect(
                    TestDatabase.url(database.url, as: role))
                defer { styled.close() }
                let repair = Repair(connection: database.sql, acceptsDeletes: true)
                var lines: [String] = []
                _ = try await Verifier(connection: styled).run {
                    lines += $0.map { "\($0)" }
                    let mended = try await repair.mend($0)
                    #expect(mended == 0)
                }
                outcome = .success(lines)
            } catch {
                outcome = .failure(error)
            }
            try await database.execute(
                """
                ALTER TABLE s.notes OWNER TO CURRENT_USER;
                DROP OWNED BY "\(role)"; DROP ROLE "\(role)"
                """
            )
            let lines = try outcome.get()
            #expect(lines.count == 1)
            #expect(
                lines.first?.hasPrefix("not_compared table=s.notes row-level security hides")
                    == true)
        }
    }
}
