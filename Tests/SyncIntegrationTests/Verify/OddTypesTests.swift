import Model
import Postgres
@testable import Sidecar
import Testing

@Suite("Types that are hard to compare are compared, or their column is named and the rest goes on")
struct OddTypesTests {
    private static let tables = """
        CREATE COLLATION s.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        CREATE DOMAIN s.bytes AS bytea;
        CREATE DOMAIN s.blob AS s.bytes;
        CREATE DOMAIN s.doc AS json;
        CREATE DOMAIN s.page AS s.doc;
        CREATE TYPE s.pair AS (a int, b json);
        CREATE TABLE s.odd (id uuid PRIMARY KEY, owner text, docs json[], docbs jsonb[],
            place point,
            places point[], path jsonpath, length interval, lengths interval[], photo s.blob,
                page s.page, size box,
            pair s.pair, word text COLLATE s.ci, feed xml, snapshot pg_snapshot, flag boolean,
                plain text);
        """
    private static let yaml = "  - {table: s.odd, owner: owner}"

    private static let values = """
        ARRAY['{"a": 1.0}', 'null', NULL]::json[], ARRAY['[1]']::jsonb[], '(1,2)',
            ARRAY['(1,2)'::point], '$.a',
        '1 mon', ARRAY['1 mon'::interval], '\\x0102ff', '{"k":  [1, 2.50]}', '(2,2),(0,0)', ROW(1,
            '{"x": null}'),
        'Word', '<a/>', '10:20:10,14,15', true, 'x'
        """

    private static func with(_ body: (SyncedDatabase) async throws -> Void) async throws {
        try await SyncedDatabase.with(tables: tables, registered: yaml) { database in
            try await database.execute(
                "INSERT INTO s.odd VALUES ('\(id("a1"))', 'ann', \(values))")
            try await body(database)
        }
    }

    /// Without capture.
    private static func hide(_ sql: String) -> String {
        "SET session_replication_role = replica; \(sql); RESET session_replication_role"
    }

    @Test("What capture wrote is the row: nothing differs, and a device can send it back")
    func captured() async throws {
        try await Self.with { database in
            #expect(try await database.verify().0 == [])
            let payload = try #require(try await database.download("ann").first?.payload)
            #expect(payload["photo"] == "AQL/")
            #expect(payload["length"] == "1 mon")
            let text = try #require(
                try await database.value("SELECT payload::text FROM sync.change_log"))
            #expect(
                try await database.outcomes(
                    "ann", change(1, "UPDATE", "odd", id("a1"), base: 1, text)) == ["applied 2"])
            #expect(try await database.verify().0 == [])
        }
    }

    /// Values that PostgreSQL, or the column, takes for equal and devices see as different.
    static let changes = [
        ("docs", #"ARRAY['{"a": 2}']::json[]"#), ("docbs", "ARRAY['[2]']::jsonb[]"),
        ("place", "'(1,3)'"), ("places", "ARRAY['(1,3)'::point]"), ("path", "'$.b'"),
        ("length", "'30 days'"), ("lengths", "ARRAY['30 days'::interval]"), ("photo", #"'\x01'"#),
        ("page", #"'{"k": 1}'"#), ("size", "'(3,3),(1,1)'"), ("pair", #"ROW(1, '{"x": 1}')"#),
        ("word", "'WORD'"), ("feed", "'<b/>'"), ("snapshot", "'10:21:10'"), ("flag", "false"),
    ]

    @Test("XML with a declaration, which JSON does not have, is no difference")
    func declaration() async throws {
        try await Self.with { database in
            let feed = #"<?xml version="1.0"?><a/>"#
            try await database.execute("UPDATE s.odd SET feed = '\(feed)'")
            let payload = #"{"plain":"y","flag":"yes","feed":"<?xml version=\"1.0\"?><b/>"}"#
            #expect(
                try await database.outcomes(
                    "ann", change(1, "INSERT", "odd", id("a2"), payload)) == ["applied 1"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A hidden change of each type is found, and mended", arguments: changes)
    func different(column: String, value: String) async throws {
        try await Self.with { database in
            try await database.execute(Self.hide("UPDATE s.odd SET \(column) = \(value)"))
            #expect(
                try await database.verify().0
                    == ["different_row user=ann table=s.odd key=a1 columns=\(column)"])
            #expect(try await database.verify(repair: true).0 == [])
        }
    }

    @Test(
        "Json with U+0000, which nothing reads, is compared as text; unfit values are named"
    )
    func fallBack() async throws {
        try await Self.with { database in
            try await database.execute(
                #"UPDATE s.odd SET page = '{"k": "\u0000"}', docs = ARRAY['"\\u0000"'::json]"#)
            #expect(try await database.verify().0 == [])
            try await database.execute(Self.hide(#"UPDATE s.odd SET page = '{"k": "\u0001"}'"#))
            #expect(
                try await database.verify().0
                    == ["different_row user=ann table=s.odd key=a1 columns=docs,page,pair"])
            #expect(try await database.verify(repair: true).0 == [])
            // A column that no value of the log fits any more, next to a difference in another.
            try await database.execute(
                Self.hide(
                    """
                    UPDATE s.odd SET feed = '<c/>';
                    ALTER TABLE s.odd ALTER plain TYPE int USING 7, ALTER flag TYPE date
                        USING '2026-01-01'
                    """
                ))
            // Before `oversync migrate`, which sends what a new type makes of the rows.
            let found = try await database.verify().0
            #expect(found.count == 4, "\(found)")
            #expect(found.first?.hasPrefix("capture_off table=s.odd") == true)
            #expect(found.contains("different_row user=ann table=s.odd key=a1 columns=feed"))
            #expect(
                found.contains { $0.hasPrefix("not_compared table=s.odd column=plain invalid") })
            #expect(found.contains { $0.hasPrefix("not_compared table=s.odd column=flag invalid") })
        }
    }

    @Test("Adopting names the columns that cannot be compared, and adopts the rest")
    func adoption() async throws {
        try await Self.with { database in
            try await database.execute(
                Self.hide(
                    """
                    INSERT INTO s.odd (id, owner) VALUES ('\(id("a2"))', 'bob');
                    ALTER TABLE s.odd ALTER plain TYPE int USING 7
                    """))
            let reading = try await SyncedDatabase.connect(database.url)
            defer { reading.close() }
            var left: [String] = []
            let count = try await Adoption(reading: reading, writing: database.sql).adopt(
                .init(schema: "s", table: "odd"), owner: nil,
                leftOut: { left.append("\($0)") }, progress: { _ in })
            #expect(count == 1)
            #expect(left.count == 1)
            #expect(left.first?.hasPrefix("not_compared table=s.odd column=plain") == true)
            #expect(try await database.feed("bob") == ["I odd a2 1"])
        }
    }

    @Test("A database without statistics is analyzed before it is verified, and only then")
    func statistics() async throws {
        try await Self.with { database in
            let unknown = """
                SELECT count(*)::text FROM pg_class c WHERE c.oid IN ('sync.change_log'::regclass,
                    'sync.row_state'::regclass, 'sync.scope'::regclass, 's.odd'::regclass)
                    AND NOT EXISTS (SELECT FROM pg_statistic t WHERE t.starelid = c.oid)
                """
            #expect(try await database.value(unknown) == "4")
            _ = try await database.verify()
            #expect(try await database.value(unknown) == "0")
            // Sessions that wrote tell PostgreSQL so within a second, perhaps after the ANALYZE.
            var left: [String] = []
            let end = ContinuousClock.now + .seconds(30)
            repeat {
                try await Statistics.make(on: database.sql)
                left = try await database.sql.run(Statistics.ReadUnknown()).all()
            } while !left.isEmpty && .now < end
            #expect(left == [])
        }
    }
}
