import Testing
import TestSupport

@testable import UploadService

/// Business rows that are otherwise than the sidecar says, as something wrote to them unseen by the triggers.
@Suite(.timeLimit(.minutes(2)))
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
}
