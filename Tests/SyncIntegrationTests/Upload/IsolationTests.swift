import Foundation
import Model
import Protos
import Testing

/// Promise P6: what one user does neither shows nor changes another user's rows.
@Suite("Users are kept apart")
struct IsolationTests {
    @Test(
        "Users whose ids are longer than the owner column and begin alike are not taken for one",
        arguments: ["varchar(8)", "s.short", "char(8)"])
    func longOwners(type: String) async throws {
        try await SyncedDatabase.with(
            tables: """
                CREATE DOMAIN s.short AS varchar(8);
                CREATE TABLE s.things (id uuid PRIMARY KEY, owner \(type), word text)
                """,
            registered: "  - {table: s.things, owner: owner}"
        ) { database in
            let thing = change(1, "INSERT", "things", id("a1"), #"{"word":"x"}"#)
            #expect(
                try await database.outcomes("auth0|12345", thing) == ["materialize_error 22001"])
            #expect(try await database.outcomes("auth0|12", thing) == ["applied 1"])
            for attempt in [
                change(2, "UPDATE", "things", id("a1"), base: 1, #"{"word":"theirs"}"#),
                change(3, "INSERT", "things", id("a1"), #"{"word":"theirs"}"#),
                change(4, "DELETE", "things", id("a1"), base: 1),
            ] {
                _ = try await database.outcomes("auth0|12345", attempt)
            }
            #expect(try await database.value("SELECT word FROM s.things") == "x")
            #expect(try await database.download("auth0|12").count == 1)
            #expect(try await database.download("auth0|12345").isEmpty)
            #expect(try await database.verify().0 == [])
        }
    }

    @Test(
        "S11: reading, changing, colliding with and probing for another user's rows gives what an empty server would"
    )
    func strangers() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload(
                "ann", change(1, "INSERT", "notes", id("a1"), #"{"title":"secret"}"#),
                change(2, "INSERT", "items", id("b1"), #"{"note_id":"\#(id("a1"))","n":1}"#),
                change(3, "INSERT", "tags", "t1", #"{"label":"secret"}"#),
                change(4, "INSERT", "prefs", "p1", #"{"value":"secret"}"#))
            let before = try await database.snapshot()
            let attempts: [(String, String)] = [
                (
                    change(1, "UPDATE", "notes", id("a1"), base: 1, #"{"title":"mine"}"#),
                    "invalid row_missing"
                ),
                (change(2, "INSERT", "notes", id("a1"), #"{"title":"mine"}"#), "invalid key_taken"),
                (change(3, "DELETE", "notes", id("a1"), base: 1), "applied"),
                (change(4, "DELETE", "tags", "t1", base: 1), "applied"),
                (change(5, "INSERT", "tags", "t1", "{}"), "invalid key_taken"),
                (change(6, "UPDATE", "tags", "t1", base: 1, "{}"), "invalid row_missing"),
                (
                    change(7, "INSERT", "items", id("b2"), #"{"note_id":"\#(id("a1"))"}"#),
                    "invalid fk_missing s.notes:\(id("a1"))"
                ),
                (
                    change(8, "INSERT", "items", id("b3"), #"{"note_id":"\#(id("ff"))"}"#),
                    "invalid fk_missing s.notes:\(id("ff"))"
                ),
                (
                    change(9, "INSERT", "notes", id("a9"), #"{"owner":"ann","title":"x"}"#),
                    "applied 1"
                ),
                (change(10, "INSERT", "prefs", "p1", #"{"value":"mine"}"#), "applied 1"),
            ]
            for (attempt, answer) in attempts {
                #expect(try await database.outcomes("bob", attempt) == [answer])
                #expect(try await database.outcomes("bob", atomic: true, attempt).count == 1)
            }
            #expect(try await database.snapshot() == before)
            #expect(
                try await database.value("SELECT owner FROM s.notes WHERE id = '\(id("a9"))'")
                    == "bob")
            let seen = try await database.download("bob")
            #expect(seen.map(\.key) == [id("a9"), "p1"])
            #expect(seen.map(\.sequence) == [1, 2])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A user whose name is another's in another Unicode spelling is another user")
    func spellings() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload(
                "\u{e9}", change(1, "INSERT", "prefs", "p1", #"{"value":"x"}"#))
            #expect(try await database.download("e\u{301}") == [])
            #expect(try await database.download("\u{e9}").count == 1)
        }
    }

    @Test(
        "A key is free again when its owner deleted the row; the first owner then meets a taken key"
    )
    func reuse() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", change(1, "INSERT", "notes", id("a1"), "{}"))
            try await database.upload("ann", change(2, "DELETE", "notes", id("a1"), base: 1))
            #expect(
                try await database.outcomes("bob", change(1, "INSERT", "notes", id("a1"), "{}"))
                    == ["applied 1"])
            let back = try await database.outcomes(
                "ann", change(3, "INSERT", "notes", id("a1"), base: 2, "{}"))
            #expect(back == ["invalid key_taken"])
            #expect(try await database.verify().0 == [])
        }
    }

    // bob:        INSERT t1                                     UPDATE, DELETE t1 on his version
    // plain SQL:            DELETE t1, triggers off
    // ann:                                       INSERT t1
    @Test(
        "A key that went to another user unseen by the triggers is not written by its first owner")
    func reuseUnseen() async throws {
        try await SyncedDatabase.with { database in
            for (n, key) in ["t1", "t2"].enumerated() {
                try await database.upload("bob", change(n + 1, "INSERT", "tags", key, "{}"))
            }
            try await database.execute(
                "SET session_replication_role = replica; DELETE FROM s.tags; RESET session_replication_role"
            )
            for (n, key) in ["t1", "t2"].enumerated() {
                let made = try await database.outcomes(
                    "ann", change(n + 1, "INSERT", "tags", key, #"{"label":"ann's"}"#))
                #expect(made == ["applied 1"])
            }
            let before = try await database.snapshot()
            let update = try await database.outcomes(
                "bob", change(3, "UPDATE", "tags", "t1", base: 1, #"{"label":"bob's"}"#))
            #expect(update == ["invalid key_taken"])
            try await database.upload("bob", change(4, "DELETE", "tags", "t2", base: 1))
            #expect(try await database.snapshot() == before)
        }
    }
}

extension SyncedDatabase {
    /// All that belongs to ann, as text.
    func snapshot() async throws -> [String?] {
        [
            try await value(
                "SELECT string_agg(n::text, ';' ORDER BY id) FROM s.notes n WHERE owner = 'ann'"),
            try await value(
                "SELECT string_agg(n::text, ';' ORDER BY id) FROM s.items n WHERE owner = 'ann'"),
            try await value("SELECT string_agg(n::text, ';' ORDER BY code) FROM s.tags n"),
            try await value(
                "SELECT string_agg(n::text, ';' ORDER BY code) FROM s.prefs n WHERE owner = 'ann'"),
            try await rawPage("ann"),
        ]
    }
}
