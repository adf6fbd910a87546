import Model
import Postgres
import Sidecar
import Testing
@testable import UploadService

@Suite("What an upload's statements cause in the business tables is captured, and only that")
struct SideEffectTests {
    @Test("A cascade deletes children for every device, also those written by the same upload")
    func cascade() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload(
                "ann", change(1, "INSERT", "notes", id("a1"), #"{"title":"x"}"#),
                change(2, "INSERT", "items", id("b1"), #"{"note_id":"\#(id("a1"))","n":1}"#),
                change(3, "INSERT", "items", id("b2"), #"{"note_id":"\#(id("a1"))","n":2}"#),
                change(4, "INSERT", "links", id("c1"), #"{"note_id":"\#(id("a1"))","n":1}"#))
            let result = try await database.upload(
                "ann", change(5, "UPDATE", "items", id("b2"), base: 1, #"{"n":3}"#),
                change(6, "DELETE", "items", id("b1"), base: 1),
                change(7, "DELETE", "notes", id("a1"), base: 1))
            #expect(
                try await database.feed("ann", after: 4) == [
                    "U items b2 2", "D items b1 2", "D notes a1 2", "D items b2 3", "U links c1 2",
                ])
            #expect(result.highestSequence == 9)
            #expect(
                result.outcomes == [
                    .applied(version: 2), .applied(version: 2), .applied(version: 2),
                ])
        }
    }

    @Test(
        "A trigger of the team's that writes to rows of the same upload: devices end with the table's rows"
    )
    func teamTrigger() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                CREATE FUNCTION s.mark() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN UPDATE s.items SET n = n + 100 WHERE note_id = NEW.id; RETURN NULL; END $$;
                CREATE TRIGGER mark AFTER UPDATE ON s.notes FOR EACH ROW EXECUTE FUNCTION s.mark();
                """)
            try await database.upload(
                "ann", change(1, "INSERT", "notes", id("a1"), #"{"title":"x"}"#),
                change(2, "INSERT", "items", id("b1"), #"{"note_id":"\#(id("a1"))","n":1}"#),
                change(3, "INSERT", "items", id("b2"), #"{"note_id":"\#(id("a1"))","n":2}"#))
            let result = try await database.upload(
                "ann", change(4, "UPDATE", "notes", id("a1"), base: 1, #"{"title":"y"}"#),
                change(5, "UPDATE", "items", id("b1"), base: 1, #"{"n":5}"#))
            #expect(result.outcomes == [.applied(version: 2), .applied(version: 2)])
            let changes = try await database.download("ann")
            #expect(result.highestSequence == Int64(changes.count))
            var last: [String: SyncedDatabase.Change] = [:]
            for change in changes { last[change.key] = change }
            #expect(last[id("b1")]?.payload?["n"] == "5")
            #expect(last[id("b2")]?.payload?["n"] == "102")
            #expect(try await database.numbers() == [5, 102])
        }
    }

    @Test("Isolation of a refused row sees what the rows before it caused")
    func isolation() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                ALTER TABLE s.notes ADD CHECK (title <> 'bad');
                CREATE FUNCTION s.add() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN
                    INSERT INTO s.items (id, owner, note_id, n) VALUES (gen_random_uuid(), NEW.owner, NEW.id, 7);
                    RETURN NULL;
                END $$;
                CREATE TRIGGER add AFTER INSERT ON s.notes FOR EACH ROW EXECUTE FUNCTION s.add();
                """)
            let notes = (1...20).map { n in
                change(
                    n, "INSERT", "notes", id("\(n + 10)"), #"{"title":"\#(n == 9 ? "bad" : "ok")"}"#
                )
            }
            let result = try await database.upload("ann", notes.joined(separator: ","))
            let applied = result.outcomes.filter { $0 == .applied(version: 1) }.count
            #expect(applied == 19)
            let changes = try await database.download("ann")
            #expect(changes.map(\.sequence) == Array(1...38))
            #expect(changes.filter { $0.table == "items" && $0.source == "" }.count == 19)
            #expect(result.highestSequence == 38)
        }
    }

    @Test("An upload that is refused as a whole leaves nothing of what it caused")
    func atomic() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload(
                "ann", change(1, "INSERT", "notes", id("a1"), #"{"title":"x"}"#),
                change(2, "INSERT", "items", id("b1"), #"{"note_id":"\#(id("a1"))","n":1}"#))
            let result = try await database.upload(
                "ann", atomic: true, change(3, "DELETE", "notes", id("a1"), base: 1),
                change(4, "UPDATE", "notes", id("a2"), base: 5, "{}"))
            #expect(result.outcomes[0] == .aborted)
            #expect(result.highestSequence == 2)
            #expect(try await database.feed("ann") == ["I notes a1 1", "I items b1 1"])
        }
    }
}

extension SyncedDatabase {
    /// `n` of all items, in the order of their keys.
    func numbers() async throws -> [Int32] {
        let rows = try await sql.run(
            Command(Statement(name: "numbers", sql: "SELECT n FROM s.items ORDER BY id")))
        return try (0..<rows.rowCount).map { try rows.int32($0, 0) }
    }
}
