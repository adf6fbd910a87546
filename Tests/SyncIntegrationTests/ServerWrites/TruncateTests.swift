import Model
import Postgres
@testable import Sidecar
import Testing

@Suite("TRUNCATE deletes the rows on devices")
struct TruncateTests {
    /// How `s.notes` is emptied; what it does to `s.items`, whose rows point there.
    static let ways = [
        "TRUNCATE s.notes CASCADE", "TRUNCATE s.notes RESTART IDENTITY CASCADE",
        "TRUNCATE s.items, s.links, ONLY s.notes",
        "TRUNCATE s.notes, s.items, s.links, s.tags CONTINUE IDENTITY",
        "BEGIN; SAVEPOINT a; TRUNCATE s.notes CASCADE; RELEASE a; COMMIT",
        "DO $$ BEGIN TRUNCATE s.notes CASCADE; END $$",
        "SET search_path = s; TRUNCATE notes CASCADE; RESET search_path",
    ]

    @Test("Each user's rows go, of all tables that it empties, and of no other", arguments: ways)
    func emptied(_ way: String) async throws {
        try await SyncedDatabase.with { database in
            try await database.upload(
                "ann", change(1, "INSERT", "notes", id("a1"), #"{"title":"mine"}"#),
                change(2, "INSERT", "items", id("b1"), #"{"note_id":"\#(id("a1"))"}"#),
                change(3, "INSERT", "prefs", "p", #"{"value":"stays"}"#))
            try await database.execute(
                """
                INSERT INTO s.notes (id, owner) VALUES
                    ('\(id("a2"))', 'bob'), ('\(id("a3"))', NULL)
                """)
            try await database.execute(way)
            #expect(
                try await database.feed("ann", after: 3).sorted()
                    == ["D items b1 2", "D notes a1 2"])
            #expect(try await database.feed("bob", after: 1) == ["D notes a2 2"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A key of a table without an owner is anybody's afterwards")
    func keysWithoutOwner() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", change(1, "INSERT", "tags", "t1", "{}"))
            try await database.execute("INSERT INTO s.tags VALUES ('nobodys', 'x')")
            try await database.execute("TRUNCATE s.tags")
            #expect(try await database.feed("ann", after: 1) == ["D tags t1 2"])
            #expect(
                try await database.outcomes("bob", change(1, "INSERT", "tags", "t1", "{}"))
                    == ["applied 1"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("One that is rolled back deletes nothing; an empty table has nothing to tell")
    func nothing() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute("TRUNCATE s.notes CASCADE")
            try await database.execute(
                "INSERT INTO s.notes (id, owner) VALUES ('\(id("a1"))', 'ann')")
            try await database.execute("BEGIN; TRUNCATE s.notes CASCADE; ROLLBACK")
            #expect(try await database.feed("ann") == ["I notes a1 1"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Rows that come back afterwards are inserts, in the same transaction too")
    func reloaded() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                "INSERT INTO s.prefs VALUES ('ann', 'k', 'old'), ('bob', 'k', 'old')")
            try await database.execute(
                """
                BEGIN; TRUNCATE s.prefs;
                INSERT INTO s.prefs VALUES ('ann', 'k', 'new'), ('ann', 'l', 'new'); COMMIT
                """)
            #expect(
                try await database.feed("ann", after: 1)
                    == ["D prefs k 2", "I prefs k 3", "I prefs l 1"])
            #expect(try await database.feed("bob", after: 1) == ["D prefs k 2"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test(
        "One by a trigger of the team's, inside of an upload, is told behind the upload's changes")
    func insideUpload() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                CREATE FUNCTION s.sweep() RETURNS trigger LANGUAGE plpgsql
                    AS 'BEGIN TRUNCATE s.prefs; RETURN NULL; END';
                CREATE TRIGGER sweep AFTER INSERT ON s.tags FOR EACH ROW EXECUTE FUNCTION s.sweep();
                ALTER FUNCTION s.sweep() SECURITY DEFINER;
                INSERT INTO s.prefs VALUES ('ann', 'k', 'v')
                """)
            #expect(
                try await database.outcomes("ann", change(1, "INSERT", "tags", "t1", "{}"))
                    == ["applied 1"])
            #expect(
                try await database.feed("ann") == ["I prefs k 1", "I tags t1 1", "D prefs k 2"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("It waits for an upload of the same user, and deletes what that one wrote")
    func concurrent() async throws {
        try await SyncedDatabase.with { database in
            let other = try await SyncedDatabase.connect(database.url)
            defer { other.close() }
            try await database.execute("BEGIN; INSERT INTO s.prefs VALUES ('ann', 'k', 'v')")
            async let truncated: Void = other.execute(script: "TRUNCATE s.prefs")
            // The table's lock is the insert's until its transaction ends.
            try await database.expectWaiting(1)
            try await database.execute("COMMIT")
            try await truncated
            #expect(try await database.feed("ann") == ["I prefs k 1", "D prefs k 2"])
            #expect(try await database.verify().0 == [])
        }
    }
}
