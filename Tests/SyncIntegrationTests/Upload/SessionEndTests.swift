import Postgres
import Testing

@testable import UploadService

/// Promise P5: a row whose statement ends PostgreSQL's session is rejected alone.
@Suite("Rows that end the session") struct SessionEndTests {
    private static let ending = """
        CREATE FUNCTION s.ending() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_terminate_backend(pg_backend_pid());
            RETURN coalesce(NEW, OLD);
        END $$;
        """
    private static let tables = """
        CREATE TABLE s.rows (id uuid PRIMARY KEY, owner text, n int UNIQUE);
        \(ending)
        CREATE TRIGGER ending BEFORE INSERT OR UPDATE ON s.rows
            FOR EACH ROW WHEN (NEW.n < 0) EXECUTE FUNCTION s.ending();
        """
    private static let yaml = "  - {table: s.rows, owner: owner}"
    private static let rejected = "materialize_error OV007"

    private static func with(
        _ body: (SyncedDatabase) async throws -> Void
    ) async throws {
        try await SyncedDatabase.with(tables: tables, registered: yaml, body)
    }

    private static func row(_ number: Int, _ value: Int) -> String {
        change(number, "INSERT", "rows", id("a\(number)"), #"{"n":\#(value)}"#)
    }

    @Test("Alone: it is rejected and recorded, and applied once the trigger is mended")
    func alone() async throws {
        try await Self.with { database in
            #expect(try await database.outcomes("ann", Self.row(1, -1)) == [Self.rejected])
            #expect(
                try await database.value(
                    "SELECT sqlstate || ' ' || retry_count FROM sync.materialize_failures")
                    == "OV007 0")
            #expect(try await database.outcomes("ann", Self.row(2, 2)) == ["applied 1"])
            try await database.execute("DROP TRIGGER ending ON s.rows")
            #expect(try await database.outcomes("ann", Self.row(1, -1)) == ["applied 1"])
            #expect(try await database.verify(user: "ann").0 == [])
        }
    }

    @Test("Among 200 rows, wherever it stands: the others are applied", arguments: [0, 77, 199])
    func among(_ place: Int) async throws {
        try await Self.with { database in
            let rows = (0..<200).map { n in
                n % 2 == 0 && n != place
                    ? change(n + 1, "INSERT", "notes", id("b\(n)"), #"{"title":"t"}"#)
                    : Self.row(n + 1, n == place ? -1 : n)
            }
            let lines = try await database.outcomes("ann", rows.joined(separator: ","))
            #expect(lines[place] == Self.rejected)
            #expect(lines.filter { $0 == "applied 1" }.count == 199)
            #expect(try await database.download("ann").count == 199)
            #expect(try await database.verify(user: "ann").0 == [])
        }
    }

    @Test("Beside a row that is refused, two that exchange a value, and one that ends it, too")
    func beside() async throws {
        try await Self.with { database in
            _ = try await database.outcomes("ann", Self.row(1, 1), Self.row(2, 2))
            let lines = try await database.outcomes(
                "ann",
                change(11, "UPDATE", "rows", id("a1"), base: 1, #"{"n":2}"#),
                change(12, "UPDATE", "rows", id("a2"), base: 1, #"{"n":1}"#),
                Self.row(13, -1), Self.row(14, -2),
                change(15, "INSERT", "rows", id("a5"), #"{"n":"many"}"#),
                Self.row(16, 6))
            #expect(
                lines == [
                    "applied 2", "applied 2", Self.rejected, Self.rejected,
                    "materialize_error 22P02", "applied 1",
                ])
            #expect(try await database.verify(user: "ann").0 == [])
        }
    }

    @Test("In an atomic upload nothing is applied, and the row is named")
    func atomic() async throws {
        try await Self.with { database in
            let lines = try await database.outcomes(
                "ann", atomic: true, Self.row(1, 1), Self.row(2, -1), Self.row(3, 3))
            #expect(lines == ["aborted", Self.rejected, "aborted"])
            #expect(try await database.download("ann") == [])
        }
    }

    @Test("In a group of uploads the others are applied")
    func inGroup() async throws {
        try await Self.with { database in
            _ = try await database.outcomes("ann", Self.row(1, 1))
            let lines = try await database.lines(
                "ann",
                [
                    .init(device: "one", changes: Self.row(11, 11)),
                    .init(
                        device: "two",
                        changes: [12, 13].map { Self.row($0, 12 - $0) }
                            .joined(separator: ",")),
                    .init(device: "three", changes: Self.row(14, 14)),
                ])
            #expect(
                lines == [["applied 1"], ["applied 1", Self.rejected], ["applied 1"]])
            #expect(try await database.verify(user: "ann").0 == [])
        }
    }

    @Test(
        "A trigger after the row, of a deletion, or that waits for the commit: its row alone",
        arguments: [
            "TRIGGER late AFTER INSERT ON s.rows FOR EACH ROW WHEN (NEW.n = 3)",
            "TRIGGER late AFTER DELETE ON s.rows FOR EACH ROW WHEN (OLD.n = 3)",
            "CONSTRAINT TRIGGER late AFTER INSERT ON s.rows DEFERRABLE INITIALLY DEFERRED "
                + "FOR EACH ROW WHEN (NEW.n = 3)",
        ])
    func late(_ trigger: String) async throws {
        try await Self.with { database in
            try await database.execute("CREATE \(trigger) EXECUTE FUNCTION s.ending()")
            let inserts = (1...4).map { Self.row($0, $0) }.joined(separator: ",")
            let deletes = (1...4).map { change(10 + $0, "DELETE", "rows", id("a\($0)"), base: 1) }
                .joined(separator: ",")
            let isOfDeletes = trigger.contains("DELETE")
            let lines = try await database.outcomes("ann", inserts)
            #expect(
                lines == (1...4).map { $0 == 3 && !isOfDeletes ? Self.rejected : "applied 1" })
            if isOfDeletes {
                let lines = try await database.outcomes("ann", deletes)
                #expect(lines == (1...4).map { $0 == 3 ? Self.rejected : "applied 2" })
            }
            #expect(try await database.verify(user: "ann").0 == [])
        }
    }

    @Test("A table of which every row ends it: others are applied, in one request's time")
    func everyRow() async throws {
        try await Self.with { database in
            try await database.execute(
                """
                CREATE TRIGGER every BEFORE INSERT ON s.rows
                    FOR EACH STATEMENT EXECUTE FUNCTION s.ending()
                """)
            let rows = (0..<40).map { n in
                n % 4 == 0
                    ? change(n + 1, "INSERT", "notes", id("b\(n)"), #"{"title":"t"}"#)
                    : Self.row(n + 1, n)
            }
            let lines = try await database.outcomes("ann", rows.joined(separator: ","))
            for (n, line) in lines.enumerated() {
                let isPostponedOrRejected =
                    line == Self.rejected || line == "materialize_error 57014"
                #expect(n % 4 == 0 ? line == "applied 1" : isPostponedOrRejected, "\(n): \(line)")
            }
            #expect(lines.contains(Self.rejected))
            #expect(try await database.verify(user: "ann").0 == [])
        }
    }

    @Test("Sessions that an administrator ends meanwhile blame no row")
    func endedByOthers() async throws {
        try await SyncedDatabase.with { database in
            _ = try await database.outcomes("ann", change(1, "INSERT", "notes", id("a1"), "{}"))
            let holder = try await SyncedDatabase.connect(database.url)
            defer { holder.close() }
            try await holder.execute(
                script: "BEGIN; SELECT FROM s.notes WHERE id = '\(id("a1"))' FOR UPDATE")
            async let lines = database.outcomes(
                "ann", change(2, "UPDATE", "notes", id("a1"), base: 1, #"{"title":"x"}"#),
                change(3, "INSERT", "notes", id("a2"), "{}"))
            for _ in 1...SessionEnds.coincidences {
                try await database.expectWaiting(1)
                try await database.execute(
                    """
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE datname = current_database() AND wait_event_type = 'Lock'
                    """)
            }
            try await holder.execute(script: "ROLLBACK")
            #expect(try await lines == ["applied 2", "applied 1"])
            #expect(try await database.verify(user: "ann").0 == [])
        }
    }

    @Test("The back end of a group is ended while it waits: each upload is applied once")
    func groupEnded() async throws {
        let settings = ["OVERSYNC_UPLOAD_LOCK_TIMEOUT_MS": "20000"]
        try await SyncedDatabase.with(settings: settings) { database in
            _ = try await database.outcomes("ann", change(1, "INSERT", "notes", id("a0"), "{}"))
            let holder = try await SyncedDatabase.connect(database.url)
            defer { holder.close() }
            try await holder.execute(script: "BEGIN; SELECT FROM sync.scope FOR UPDATE")
            async let lines = database.lines(
                "ann",
                (1...3).map { number in
                    SyncedDatabase.Member(
                        device: "d\(number)",
                        changes: change(1, "INSERT", "notes", id("a\(number)"), "{}"))
                })
            for _ in 1...4 {
                try await database.expectWaiting(1)
                try await database.execute(
                    """
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE datname = current_database() AND wait_event_type = 'Lock'
                    """)
            }
            try await holder.execute(script: "ROLLBACK")
            #expect(try await lines == Array(repeating: ["applied 1"], count: 3))
            #expect(try await database.feed("ann").count == 4)
            #expect(try await database.verify().0 == [])
        }
    }
}
