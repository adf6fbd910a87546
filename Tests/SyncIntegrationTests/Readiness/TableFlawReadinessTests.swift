import DatabaseKit
import Postgres
import ServiceKit
@testable import Sidecar
import Telemetry
import Testing
@testable import UploadService

@Suite("A registered table that stops being wholly synced degrades Upload, and is named")
struct TableFlawReadinessTests {
    /// What somebody does to a table, and what `/ready` must say. `mended` tells whether `migrate`
    /// repairs it.
    static let changes: [(sql: String, says: [String], mended: Bool)] = [
        (
            "ALTER TABLE s.notes DISABLE TRIGGER oversync_capture_update",
            ["s.notes", "3 of 4 capture triggers are on"], true
        ),
        ("ALTER TABLE s.notes DISABLE TRIGGER ALL", ["s.notes", "0 of 4"], true),
        ("DROP TRIGGER oversync_capture_delete ON s.notes", ["s.notes", "3 of 4"], true),
        ("DROP FUNCTION sync.capture_1 CASCADE", ["0 of 4"], true),
        ("ALTER TABLE s.notes ADD colour text DEFAULT 'red'", ["columns of s.notes"], true),
        ("ALTER TABLE s.notes DROP extra", ["columns of s.notes"], true),
        (
            "CREATE RULE r AS ON INSERT TO s.notes DO ALSO NOTHING",
            ["s.notes has the rewrite rule \"r\""], false
        ),
        ("ALTER TABLE s.items SET UNLOGGED", ["s.items is unlogged"], false),
        ("ALTER TABLE s.prefs DROP CONSTRAINT prefs_pkey", ["s.prefs.key", "\"code\""], false),
        (
            "ALTER TABLE s.tags ENABLE ROW LEVEL SECURITY",
            ["s.tags has row-level security", "oversync_upload"], false
        ),
        (
            """
            ALTER TABLE s.tags DROP CONSTRAINT tags_pkey;
            CREATE UNIQUE INDEX ON s.tags (code); ALTER TABLE s.tags ALTER code DROP NOT NULL
            """, ["s.tags.key", "may be NULL"], false
        ),
    ]

    @Test("Each change is seen with the next reading of the catalog", arguments: changes.indices)
    func seen(_ index: Int) async throws {
        let wanted = Self.changes[index]
        try await SyncedDatabase.with { database in
            let problems = DatabaseNeeds.state(of: database.source)
            try await database.source.refresh()
            #expect(problems() == [])
            try await database.execute(wanted.sql)
            try await database.source.refresh()
            #expect(!problems().isEmpty)
            #expect(problems().allSatisfy { !$0.isBlocking })
            let text = problems().map(\.text).joined(separator: "\n")
            for words in wanted.says { #expect(text.contains(words), "\(words) not in \(text)") }
            // Other tables go on.
            #expect(
                try await database.outcomes("ann", change(1, "INSERT", "links", id("d1"), "{}"))
                    == ["applied 1"])
            guard wanted.mended else { return }
            try await Registration.apply(SyncedDatabase.registrations, on: database.sql)
            try await database.source.refresh()
            #expect(problems() == [])
        }
    }

    @Test("The metric counts it by table and kind; Download, which does not write, is silent")
    func metric() async throws {
        try await SyncedDatabase.with { database in
            let registry = MetricsRegistry()
            database.source.reportFlaws(to: registry)
            let download = CatalogSource(
                pool: database.downloadPool, logger: SyncedDatabase.logger)
            try await database.execute("ALTER TABLE s.notes DISABLE TRIGGER ALL")
            try await database.source.refresh()
            try await download.refresh()
            let line = registry.rendered().split(separator: "\n").first {
                $0.hasPrefix("oversync_table_flaws{")
            }
            #expect(line?.contains(#"table="s.notes""#) == true)
            #expect(line?.contains(#"kind="capture_off""#) == true)
            #expect(download.flaws == [])
        }
    }

    @Test("Triggers that fire always capture what a replica's session writes, and are no flaw")
    func always() async throws {
        try await SyncedDatabase.with { database in
            for event in ["insert", "update", "delete"] {
                try await database.execute(
                    "ALTER TABLE s.notes ENABLE ALWAYS TRIGGER oversync_capture_\(event)")
            }
            try await database.source.refresh()
            #expect(database.source.flaws == [])
            try await database.execute(
                """
                SET session_replication_role = replica;
                INSERT INTO s.notes (id, owner) VALUES ('\(id("a1"))', 'ann');
                RESET session_replication_role
                """)
            #expect(try await database.feed("ann") == ["I notes a1 1"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("An owner under FORCE ROW LEVEL SECURITY is told that it sees no rows")
    func forced() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                CREATE ROLE flaw_owner; GRANT CREATE ON SCHEMA s TO flaw_owner;
                GRANT USAGE ON SCHEMA s, sync TO flaw_owner;
                GRANT SELECT ON ALL TABLES IN SCHEMA sync TO flaw_owner;
                ALTER TABLE s.tags OWNER TO flaw_owner;
                ALTER TABLE s.tags ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
                SET ROLE flaw_owner
                """)
            let remarks = try await RowSecurity.remarks(on: database.sql)
            try await database.execute(
                "RESET ROLE; DROP OWNED BY flaw_owner CASCADE; DROP ROLE flaw_owner")
            #expect(remarks.count == 2)
            #expect(remarks.last?.contains("flaw_owner is subject to: oversync adopt") == true)
        }
    }
}
