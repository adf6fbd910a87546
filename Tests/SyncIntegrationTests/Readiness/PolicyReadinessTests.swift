import DatabaseKit
import Model
import Postgres
import ServiceKit
@testable import Sidecar
import Testing
@testable import UploadService

@Suite("Policies that do not decide, and rows that cannot be seen, are found while services run")
struct PolicyReadinessTests {
    /// How the policies of a table with `row_security: true` stop to apply to Upload, and how they
    /// apply again.
    static let idle = [
        (
            "ALTER TABLE s.tasks DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE s.tasks ENABLE ROW LEVEL SECURITY"
        ),
        (
            "ALTER TABLE s.tasks OWNER TO oversync_upload",
            "ALTER TABLE s.tasks OWNER TO CURRENT_USER; GRANT ALL ON s.tasks TO oversync_upload"
        ),
    ]

    @Test("Where policies have to decide and do not apply, nothing is written", arguments: idle)
    func off(breaks: String, mends: String) async throws {
        try await Policies.with(Policies.ofOwner) { database in
            try await database.upload("ann", Policies.task(1, "INSERT", "a1", "{}"))
            try await database.execute(breaks)
            let batch = [
                Policies.task(2, "INSERT", "a2", "{}"),
                Policies.task(3, "UPDATE", "a1", base: 1, #"{"title":"x"}"#),
                Policies.task(4, "DELETE", "a1", base: 1),
                change(5, "INSERT", "notes", id("b1"), "{}"),
            ].joined(separator: ",")
            let refused = "materialize_error OV005"
            for _ in 0..<2 {
                let result = try await database.upload("ann", batch)
                #expect(
                    result.outcomes.map(\.line) == [refused, refused, refused, "applied 1"])
                #expect(
                    result.blockedTables == [
                        TableName(schema: "s", table: "tasks"): RowRefusal.policiesOffState
                    ])
                // Also when the catalog is read again.
                try await database.source.refresh()
            }
            let problems = DatabaseNeeds.state(of: database.source)().map(\.text)
            #expect(problems.count == 1)
            #expect(
                problems.first?.contains(
                    "uploads to s.tasks are refused: it has row_security: true") == true)
            #expect(try await database.value("SELECT count(*)::text FROM s.tasks") == "1")
            try await database.execute(mends)
            try await database.source.refresh()
            #expect(DatabaseNeeds.state(of: database.source)() == [])
            #expect(
                try await database.outcomes("ann", Policies.task(2, "INSERT", "a2", "{}"))
                    == ["applied 1"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Rows that the sidecar itself cannot see are not taken for gone")
    func forced() async throws {
        try await Policies.with(Policies.ofOwner) { database in
            let name = try #require(try await database.value("SELECT current_database()::text"))
            let role = "blind_\(name)"
            try await database.upload(
                "ann", Policies.task(1, "INSERT", "a1", "{}"),
                Policies.task(2, "INSERT", "a2", "{}"))
            try await database.execute(
                """
                CREATE ROLE "\(role)"; GRANT USAGE, CREATE ON SCHEMA s, sync TO "\(role)";
                GRANT SELECT ON ALL TABLES IN SCHEMA sync TO "\(role)";
                ALTER TABLE s.tasks OWNER TO "\(role)";
                ALTER FUNCTION sync.stored_rows OWNER TO "\(role)";
                ALTER TABLE s.tasks FORCE ROW LEVEL SECURITY;
                CREATE POLICY hide ON s.tasks AS RESTRICTIVE FOR DELETE TO oversync_upload
                    USING (id <> '\(id("a1"))')
                """)
            let outcome: Result<Void, any Error>
            do {
                outcome = .success(try await Self.expectRefusals(in: database, role))
            } catch {
                outcome = .failure(error)
            }
            try await database.execute(
                """
                ALTER TABLE s.tasks OWNER TO CURRENT_USER;
                ALTER FUNCTION sync.stored_rows OWNER TO CURRENT_USER;
                DROP OWNED BY "\(role)"; DROP ROLE "\(role)"
                """)
            try outcome.get()
        }
    }

    private static func expectRefusals(
        in database: SyncedDatabase, _ role: String
    ) async throws {
        try await database.source.refresh()
        let problems = DatabaseNeeds.state(of: database.source)().map(\.text)
        #expect(
            problems.contains {
                $0.hasPrefix("row-level security hides rows of s.tasks from \(role)")
            })
        let outcomes = try await database.outcomes(
            "ann", Policies.task(3, "DELETE", "a1", base: 1),
            Policies.task(4, "INSERT", "a3", "{}"), change(5, "INSERT", "notes", id("b1"), "{}"))
        #expect(outcomes == [Policies.rejected, Policies.rejected, "applied 1"])
        #expect(try await database.value("SELECT count(*)::text FROM s.tasks") == "2")
        #expect(
            try await database.value(
                "SELECT string_agg(DISTINCT error, ';') FROM sync.materialize_failures")
                == "row-level security hides rows of s.tasks from \(role)")
    }

    @Test(
        "A table whose policies nobody has spoken of: what they hide is not taken for gone either")
    func unspoken() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload(
                "ann", change(1, "INSERT", "notes", id("a1"), #"{"title":"x"}"#),
                change(2, "INSERT", "notes", id("a2"), #"{"title":"locked"}"#),
                change(3, "INSERT", "tags", "t1", #"{"label":"locked"}"#))
            try await database.execute(
                """
                ALTER TABLE s.notes ENABLE ROW LEVEL SECURITY;
                CREATE POLICY p ON s.notes USING (title <> 'locked');
                ALTER TABLE s.tags ENABLE ROW LEVEL SECURITY;
                CREATE POLICY p ON s.tags USING (label <> 'locked')
                """)
            try await database.source.refresh()
            let outcomes = try await database.outcomes(
                "ann", change(11, "DELETE", "notes", id("a1"), base: 1),
                change(12, "DELETE", "notes", id("a2"), base: 1),
                change(13, "UPDATE", "tags", "t1", base: 1, #"{"label":"y"}"#),
                change(14, "DELETE", "tags", "t1", base: 1),
                change(15, "INSERT", "tags", "t2", #"{"label":"y"}"#))
            #expect(
                outcomes == [
                    "applied 2", Policies.hidden, Policies.hidden, Policies.hidden, "applied 1",
                ])
            #expect(try await database.verify().0 == [])
        }
    }
}
