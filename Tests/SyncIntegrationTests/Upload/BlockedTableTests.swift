import Model
import NIOCore
import Postgres
import RPC
import ServiceKit
import Telemetry
import Testing

@testable import UploadService

/// A problem with one table, or with some of its rows, never blocks the queue of a device.
@Suite("Tables that take no rows") struct BlockedTableTests {
    private static let tables = """
        CREATE TABLE s.rows (id uuid PRIMARY KEY, owner text, n int, note text);
        CREATE TABLE s.children (
            id uuid PRIMARY KEY, owner text, parent uuid REFERENCES s.rows);
        CREATE SCHEMA helpers;
        CREATE FUNCTION helpers.one() RETURNS int LANGUAGE sql AS 'SELECT 1';
        CREATE FUNCTION s.call() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN NEW.n := helpers.one(); RETURN NEW; END $$;
        CREATE FUNCTION s.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'closed' USING ERRCODE = 'object_not_in_prerequisite_state'; END $$;
        CREATE FUNCTION s.slow() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END $$;
        """
    private static let yaml = """
          - {table: s.rows, owner: owner}
          - {table: s.children, owner: owner}
        """

    /// What makes the table take no rows, what helps, and the SQLSTATE. In a statement, `ROLE` is
    /// the role of Upload.
    static let troubles: [(breaks: String, mends: String, state: String)] = [
        ("REVOKE INSERT ON s.rows FROM ROLE", "GRANT INSERT ON s.rows TO ROLE", "42501"),
        ("REVOKE ALL ON s.rows FROM ROLE", "GRANT ALL ON s.rows TO ROLE", "42501"),
        (
            "CREATE RULE none AS ON INSERT TO s.rows DO INSTEAD NOTHING",
            "DROP RULE none ON s.rows", "0A000"
        ),
        (
            """
            GRANT USAGE ON SCHEMA helpers TO ROLE;
            CREATE TRIGGER call BEFORE INSERT ON s.rows FOR EACH ROW EXECUTE FUNCTION s.call();
            DROP FUNCTION helpers.one()
            """, "DROP TRIGGER call ON s.rows", "42883"
        ),
        (
            """
            CREATE TRIGGER call BEFORE INSERT ON s.rows FOR EACH ROW EXECUTE FUNCTION s.call();
            DROP SCHEMA helpers CASCADE
            """, "DROP TRIGGER call ON s.rows", "3F000"
        ),
        (
            """
            CREATE TRIGGER shut BEFORE INSERT ON s.rows
                FOR EACH STATEMENT EXECUTE FUNCTION s.refuse()
            """, "DROP TRIGGER shut ON s.rows", "55000"
        ),
        (
            """
            ALTER TABLE s.rows ENABLE ROW LEVEL SECURITY;
            CREATE POLICY read ON s.rows FOR SELECT TO ROLE USING (true)
            """, "ALTER TABLE s.rows DISABLE ROW LEVEL SECURITY", "42501"
        ),
    ]

    private static func script(_ text: String) -> String {
        text.replacing("ROLE", with: "oversync_upload")
    }

    private static func rows(_ count: Int) -> [String] {
        (0..<count).map { n in
            change(n + 1, "INSERT", "rows", id(String(0x1000 + n, radix: 16)), #"{"note":"x"}"#)
        }
    }

    @Test(
        "A table that takes no rows refuses its own, and the others are applied",
        arguments: troubles.indices)
    func blocked(_ index: Int) async throws {
        let trouble = Self.troubles[index]
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            try await database.upload("ann", change(900, "INSERT", "notes", id("a0"), "{}"))
            try await database.execute(Self.script(trouble.breaks))
            let bad = Self.rows(60)
            let good = (0..<40).map { n in
                change(
                    500 + n, "INSERT", "notes", id(String(0x2000 + n, radix: 16)),
                    #"{"title":"t"}"#)
            }
            let batch = zip(bad, good).flatMap { [$0, $1] } + bad.dropFirst(good.count)
            let result = try await database.upload("ann", batch.joined(separator: ","))
            let lines = result.outcomes.map(\.line)
            let refused = "materialize_error \(trouble.state)"
            #expect(lines.filter { $0 == "applied 1" }.count == good.count)
            #expect(lines.filter { $0 == refused }.count == bad.count, "\(Set(lines))")
            #expect(
                try await database.value(
                    "SELECT count(*) || ' ' || min(sqlstate) FROM sync.materialize_failures")
                    == "\(bad.count) \(trouble.state)")
            #expect(try await database.verify(user: "ann").0 == [])
            try await database.execute(Self.script(trouble.mends))
            let again = try await database.outcomes("ann", bad.joined(separator: ","))
            #expect(again == Array(repeating: "applied 1", count: bad.count))
            #expect(try await database.verify(user: "ann").0 == [])
        }
    }

    @Test(
        "A table that is none any more refuses its own, and the others are applied",
        arguments: [
            "DROP TABLE s.children; DROP TABLE s.rows",
            """
            ALTER TABLE s.rows RENAME TO stored;
            CREATE VIEW s.rows AS SELECT * FROM s.stored; GRANT ALL ON s.rows TO ROLE
            """,
        ])
    func gone(script: String) async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            try await database.execute(Self.script(script))
            let result = try await database.upload(
                "ann", Self.rows(3).joined(separator: ","),
                change(900, "INSERT", "notes", id("a0"), #"{"title":"t"}"#))
            #expect(
                result.outcomes.map(\.line)
                    == Array(repeating: "materialize_error 42P01", count: 3) + ["applied 1"])
            #expect(result.blockedTables.keys.map(\.table) == ["rows"])
            #expect(
                try await database.value("SELECT count(*)::text FROM sync.materialize_failures")
                    == "3")
        }
    }

    @Test("Rows that a policy rejects are refused alone, and their table is not blocked")
    func policy() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            try await database.execute(
                Self.script(
                    """
                    ALTER TABLE s.rows ENABLE ROW LEVEL SECURITY;
                    CREATE POLICY small ON s.rows TO ROLE USING (true)
                        WITH CHECK (n IS NULL OR n < 10)
                    """))
            let batch = (1...50).map { n in
                change(n, "INSERT", "rows", id(String(0x1000 + n, radix: 16)), #"{"n":\#(n)}"#)
            }
            let result = try await database.upload("ann", batch.joined(separator: ","))
            #expect(
                result.outcomes.map(\.line)
                    == (1...50).map { $0 < 10 ? "applied 1" : "materialize_error 42501" })
            #expect(result.blockedTables == [:])
        }
    }

    @Test("A blocked table is named in the log's metric and in the readiness, for a while")
    func named() throws {
        let metrics = MetricsRegistry()
        let troubles = TableTroubles(metrics: metrics, logger: SyncedDatabase.logger)
        let table = TableName(schema: "s", table: "rows")
        let start = ContinuousClock.now
        troubles.record([table: .insufficientPrivilege], now: start)
        #expect(
            troubles.problems(now: start) == [
                .degrading(
                    "the table s.rows takes no rows: SQLSTATE 42501 (insufficient privilege)")
            ])
        #expect(troubles.problems(now: start + .seconds(61)) == [])
        #expect(
            metrics.rendered().contains(#"oversync_upload_blocked_table_total{table="s.rows"} 1"#))
    }

    @Test(
        "Rows that are too slow together: some are applied, others postponed, in one request's time"
    )
    func slowTogether() async throws {
        let settings = [UploadTimeouts.statementSetting.key: "2000"]
        try await SyncedDatabase.with(
            tables: Self.tables, registered: Self.yaml, settings: settings
        ) { database in
            try await database.execute(
                """
                CREATE TRIGGER slow BEFORE INSERT ON s.rows FOR EACH ROW EXECUTE FUNCTION s.slow()
                """)
            let body = ByteBuffer(
                string: #"{"changes":[\#(Self.rows(200).joined(separator: ","))]}"#)
            var applied = 0
            var rounds = 0
            // What is postponed is applied when it is sent again, and each round gets further.
            while applied < 200 {
                let (_, result) = try await database.executor.upload(
                    body, from: CallerIdentity(user: "ann", device: "phone"),
                    deadline: .now + .seconds(20))
                let lines = result.outcomes.map(\.line)
                let now = lines.count { $0 == "applied 1" }
                #expect(lines.count { $0 == "materialize_error 57014" } == 200 - now)
                try #require(now > applied)
                applied = now
                rounds += 1
            }
            #expect(rounds > 1)
            #expect(
                try await database.value("SELECT count(*)::text FROM sync.materialize_failures")
                    == "0")
            #expect(try await database.verify(user: "ann").0 == [])
        }
    }

    @Test("Many locked rows: they are postponed before PostgreSQL could see a deadlock")
    func manyLocked() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            let inserts = Self.rows(100)
            try await database.upload("ann", inserts.joined(separator: ","))
            let other = try await SyncedDatabase.connect(database.url)
            defer { other.close() }
            try await other.execute(
                script: "BEGIN; SELECT FROM s.rows ORDER BY id LIMIT 50 FOR UPDATE")
            let edits = (0..<100).map { n in
                change(
                    500 + n, "UPDATE", "rows", id(String(0x1000 + n, radix: 16)), base: 1,
                    #"{"n":2}"#)
            }
            let lines = try await database.outcomes("ann", edits.joined(separator: ","))
            #expect(lines.count { $0 == "materialize_error 55P03" } >= 50)
            #expect(lines.allSatisfy { ["applied 2", "materialize_error 55P03"].contains($0) })
            try await other.execute(script: "ROLLBACK")
            #expect(
                try await database.outcomes("ann", edits.joined(separator: ","))
                    == Array(repeating: "applied 2", count: 100))
            #expect(try await database.verify(user: "ann").0 == [])
        }
    }
}
