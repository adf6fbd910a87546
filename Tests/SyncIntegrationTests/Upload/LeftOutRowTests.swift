import Testing

/// Rows that a BEFORE trigger of the team's leaves out by returning NULL.
// For an upload that never ends. The time in which a test waits for its turn counts too, and the target has
// more tests than a slow machine runs in two minutes.
@Suite("Rows left out by a trigger", .timeLimit(.minutes(5)))
struct LeftOutRowTests {
    private static let trigger = """
        CREATE FUNCTION s.veto() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RETURN CASE WHEN to_jsonb(NEW) ->> TG_ARGV[0] = 'veto' THEN NULL ELSE NEW END;
        END $$;
        CREATE TRIGGER a_veto BEFORE INSERT OR UPDATE ON s.notes
            FOR EACH ROW EXECUTE FUNCTION s.veto('title');
        CREATE TRIGGER a_veto BEFORE INSERT OR UPDATE ON s.tags
            FOR EACH ROW EXECUTE FUNCTION s.veto('label');
        """

    @Test("A row left out is refused as such, recorded, and the others are written")
    func leftOut() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(Self.trigger)
            let inserts = try await database.outcomes(
                "ann", change(1, "INSERT", "notes", id("b1"), #"{"title":"good"}"#),
                change(2, "INSERT", "notes", id("b2"), #"{"title":"veto"}"#),
                change(3, "INSERT", "tags", "t1", #"{"label":"veto"}"#),
                change(4, "INSERT", "tags", "t2", #"{"label":"good"}"#))
            let refused = "materialize_error OV003"
            #expect(inserts == ["applied 1", refused, refused, "applied 1"])
            let updates = try await database.outcomes(
                "ann", change(5, "UPDATE", "notes", id("b1"), base: 1, #"{"title":"veto"}"#),
                change(6, "UPDATE", "tags", "t2", base: 1, #"{"label":"veto"}"#),
                change(7, "UPDATE", "tags", "t2", base: 1, #"{"label":"better"}"#))
            #expect(updates == [refused, refused, "applied 2"])
            let recorded = try await database.value(
                "SELECT string_agg(DISTINCT error, '; ') FROM sync.materialize_failures")
            #expect(recorded == "a BEFORE trigger of the table left the row out")
            let again = try await database.outcomes(
                "ann", change(8, "INSERT", "notes", id("b2"), #"{"title":"mended"}"#))
            #expect(again == ["applied 1"])
            #expect(try await database.verify(user: "ann").0 == [])
        }
    }

    @Test("A key of another user's is taken, and says nothing else, with such a trigger or without")
    func taken() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(Self.trigger)
            try await database.upload(
                "bob", change(1, "INSERT", "notes", id("b1"), #"{"title":"bob's"}"#),
                change(2, "INSERT", "tags", "t1", #"{"label":"bob's"}"#))
            for title in ["veto", "mine"] {
                let answer = try await database.outcomes(
                    "ann", change(1, "INSERT", "notes", id("b1"), #"{"title":"\#(title)"}"#),
                    change(2, "INSERT", "tags", "t1", #"{"label":"\#(title)"}"#))
                #expect(answer == ["invalid key_taken", "invalid key_taken"])
            }
        }
    }

    private static let keeper = """
        CREATE FUNCTION s.keep() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RETURN CASE WHEN to_jsonb(OLD) ->> TG_ARGV[0] = 'keep' THEN NULL ELSE OLD END;
        END $$;
        CREATE TRIGGER a_keep BEFORE DELETE ON s.notes
            FOR EACH ROW EXECUTE FUNCTION s.keep('title');
        CREATE TRIGGER a_keep BEFORE DELETE ON s.tags
            FOR EACH ROW EXECUTE FUNCTION s.keep('label');
        """

    @Test("A delete left out is refused as such, recorded, and the others are deleted")
    func keptRow() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(Self.keeper)
            try await database.upload(
                "ann", change(1, "INSERT", "notes", id("b1"), #"{"title":"keep"}"#),
                change(2, "INSERT", "notes", id("b2"), #"{"title":"go"}"#),
                change(3, "INSERT", "tags", "t1", #"{"label":"keep"}"#),
                change(4, "INSERT", "tags", "t2", #"{"label":"go"}"#))
            let deletes = try await database.outcomes(
                "ann", change(5, "DELETE", "notes", id("b1"), base: 1),
                change(6, "DELETE", "notes", id("b2"), base: 1),
                change(7, "DELETE", "tags", "t1", base: 1),
                change(8, "DELETE", "tags", "t2", base: 1))
            let refused = "materialize_error OV003"
            #expect(deletes == [refused, "applied 2", refused, "applied 2"])
            let left = try await database.value(
                "SELECT (SELECT string_agg(title, ',') FROM s.notes) || ' ' || (SELECT string_agg(label, ',') FROM s.tags)"
            )
            #expect(left == "keep keep")
            #expect(
                try await database.value(
                    "SELECT count(*)::text FROM sync.materialize_failures WHERE op = 'D'") == "2")
            // What stays is the user's as before, and can go once the trigger lets it.
            let later = try await database.outcomes(
                "ann", change(9, "UPDATE", "notes", id("b1"), base: 1, #"{"title":"go"}"#),
                change(10, "UPDATE", "tags", "t1", base: 1, #"{"label":"go"}"#),
                change(11, "DELETE", "notes", id("b1"), base: 2),
                change(12, "DELETE", "tags", "t1", base: 2))
            #expect(later == ["applied 2", "applied 2", "applied 3", "applied 3"])
            #expect(try await database.verify(user: "ann").0 == [])
        }
    }

    @Test("A delete of a row that is gone is applied, among others and with such a trigger")
    func goneRow() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(Self.keeper)
            try await database.upload(
                "ann", change(1, "INSERT", "notes", id("b1"), #"{"title":"go"}"#),
                change(2, "INSERT", "notes", id("b2"), #"{"title":"go"}"#),
                change(3, "INSERT", "tags", "t1", #"{"label":"go"}"#))
            // As by a team that writes past the triggers.
            try await database.execute(
                "SET session_replication_role = replica; DELETE FROM s.notes WHERE id = '\(id("b1"))'; "
                    + "DELETE FROM s.tags; SET session_replication_role = origin")
            let deletes = try await database.outcomes(
                "ann", change(4, "DELETE", "notes", id("b1"), base: 1),
                change(5, "DELETE", "notes", id("b2"), base: 1),
                change(6, "DELETE", "tags", "t1", base: 1))
            #expect(deletes == ["applied 2", "applied 2", "applied 2"])
            #expect(try await database.value("SELECT count(*)::text FROM s.notes") == "0")
        }
    }
}
