import Postgres
import Testing
import TestSupport

@testable import UploadService

/// Business rows that are otherwise than the sidecar says, as something wrote to them unseen by the triggers.
// For an upload that never ends. The time in which a test waits for its turn counts too, and the target has
// more tests than a slow machine runs in two minutes.
@Suite(.timeLimit(.minutes(5)))
struct UnrecordedRowTests {
    private static let count = 200

    private static func key(_ number: Int) -> String { id("b\(String(number, radix: 16))") }

    private static func unseen(_ script: String) -> String {
        "SET session_replication_role = replica; \(script); RESET session_replication_role"
    }

    @Test(arguments: [false, true])
    func `a row that is there already, or has gone, is written with the 198 around it`(
        _ isAtomic: Bool
    ) async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", change(1, "INSERT", "notes", Self.key(7), "{}"))
            try await database.upload("ann", change(2, "INSERT", "tags", "t7", "{}"))
            try await database.execute(
                Self.unseen(
                    """
                    DELETE FROM s.notes; DELETE FROM s.tags;
                    INSERT INTO s.notes (id, owner, title) VALUES ('\(Self.key(9))', 'ann', 'old')
                    """))
            var changes = (0..<Self.count).map { number in
                change(
                    number + 10, number == 7 ? "UPDATE" : "INSERT", "notes", Self.key(number),
                    base: number == 7 ? 1 : 0, #"{"title":"new"}"#)
            }
            changes.append(change(500, "UPDATE", "tags", "t7", base: 1, #"{"label":"new"}"#))
            let answer = try await database.outcomes(
                "ann", atomic: isAtomic, changes.joined(separator: ","))
            #expect(answer.count == Self.count + 1)
            #expect(answer.filter { !$0.hasPrefix("applied") } == [])
            #expect(
                try await database.value("SELECT count(*) FROM s.notes WHERE title = 'new'")
                    == "\(Self.count)")
            #expect(try await database.value("SELECT label FROM s.tags") == "new")
            #expect(try await database.verify(user: "ann").0 == [])
        }
    }

    // plain SQL, triggers off:  BEGIN, INSERT b1               COMMIT
    // ann:                                      INSERT b0..b2          applied
    @Test func `a row that appears unseen while the upload writes it is taken over`() async throws {
        try await SyncedDatabase.with { database in
            let other = try await SyncedDatabase.connect(database.url)
            defer { other.close() }
            try await other.execute(
                script: """
                    SET session_replication_role = replica;
                    BEGIN;
                    INSERT INTO s.notes (id, owner, title) VALUES ('\(Self.key(1))', 'ann', 'old')
                    """)
            let changes = (0..<3).map {
                change($0 + 1, "INSERT", "notes", Self.key($0), #"{"title":"new"}"#)
            }
            async let answer = database.outcomes("ann", changes.joined(separator: ","))
            let deadline = ContinuousClock.now + .seconds(20)
            while try await database.value(
                "SELECT 1 FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted") == nil
            {
                try #require(ContinuousClock.now < deadline)
            }
            try await other.execute(script: "COMMIT")
            #expect(try await answer == ["applied 1", "applied 1", "applied 1"])
            #expect(
                try await database.value("SELECT string_agg(title, ' ') FROM s.notes")
                    == "new new new")
            #expect(try await database.verify(user: "ann").0 == [])
        }
    }

    @Test func `an update that PostgreSQL leaves out as it changes nothing is applied`()
        async throws
    {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                CREATE TRIGGER z_min BEFORE UPDATE ON s.notes FOR EACH ROW
                    EXECUTE FUNCTION suppress_redundant_updates_trigger()
                """)
            try await database.upload(
                "ann", change(1, "INSERT", "notes", Self.key(1), #"{"title":"same"}"#))
            let answer = try await database.outcomes(
                "ann", change(2, "UPDATE", "notes", Self.key(1), base: 1, #"{"title":"same"}"#),
                change(3, "INSERT", "notes", Self.key(2), #"{"title":"other"}"#))
            #expect(answer == ["applied 2", "applied 1"])
            #expect(try await database.verify(user: "ann").0 == [])
        }
    }
}
