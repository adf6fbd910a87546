import Model
import Testing

/// Foreign keys that rest on columns which devices have no part in: PostgreSQL checks them, and
/// cascades over them, all the same.
@Suite("Foreign keys with a column that stays on the server")
struct WithheldReferencesTests {
    /// Names that put the child before its parent where nothing else orders them.
    private static let tables = """
        CREATE TABLE s.folders (id uuid PRIMARY KEY, owner text NOT NULL, name text NOT NULL,
            tenant text NOT NULL DEFAULT 't', UNIQUE (owner, name), UNIQUE (id, tenant));
        CREATE TABLE s.files (id uuid PRIMARY KEY, owner text NOT NULL, folder uuid,
            tenant text DEFAULT 't', note text,
            FOREIGN KEY (folder, tenant) REFERENCES s.folders (id, tenant) ON DELETE CASCADE);
        CREATE TABLE s.drafts (id uuid PRIMARY KEY, owner text NOT NULL,
            folder uuid REFERENCES s.folders);
        """
    private static let yaml = """
          - {table: s.folders, owner: owner, except: [tenant]}
          - {table: s.files, owner: owner, except: [tenant]}
          - {table: s.drafts, owner: owner, except: [folder]}
        """

    private static func folder(_ number: Int, _ key: String, _ name: String) -> String {
        change(number, "INSERT", "folders", id(key), #"{"name":"\#(name)"}"#)
    }

    private static func keys(_ table: String, _ database: SyncedDatabase) async throws -> String? {
        try await database.value(
            "SELECT string_agg(right(id::text, 2), ' ' ORDER BY id) FROM s.\(table)")
    }

    @Test(
        "A child moves, and another parent takes the name of its old one, which goes: it lives on",
        arguments: [false, true])
    func movedChild(atomic: Bool) async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            try await database.upload(
                "ann", Self.folder(1, "a1", "x"),
                change(
                    2, "INSERT", "files", id("b1"), #"{"folder":"\#(id("a1"))","note":"kept"}"#))
            let answer = try await database.outcomes(
                "ann", atomic: atomic,
                change(3, "UPDATE", "files", id("b1"), base: 1, #"{"folder":"\#(id("a3"))"}"#),
                change(4, "DELETE", "folders", id("a1"), base: 1), Self.folder(5, "a3", "x"))
            #expect(answer == ["applied 2", "applied 2", "applied 1"])
            #expect(try await database.value("SELECT note FROM s.files") == "kept")
            #expect(try await Self.keys("folders", database) == "a3")
            #expect(
                try await database.feed("ann", after: 2).sorted()
                    == ["D folders a1 2", "I folders a3 1", "U files b1 2"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A parent goes before its child in one upload, in whatever order they are sent")
    func parentFirst() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            let file = change(1, "INSERT", "files", id("b1"), #"{"folder":"\#(id("a1"))"}"#)
            let answer = try await database.outcomes("ann", file, Self.folder(2, "a1", "x"))
            #expect(answer == ["applied 1", "applied 1"])
            #expect(try await database.feed("ann") == ["I folders a1 1", "I files b1 1"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Deletes take the child first that plain SQL gave its parent")
    func deletes() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            try await database.upload(
                "ann", Self.folder(1, "a1", "x"), change(2, "INSERT", "drafts", id("c1"), "{}"))
            try await database.execute("UPDATE s.drafts SET folder = '\(id("a1"))'")
            // The parent is wholly out of the devices' sight, so nothing was captured.
            #expect(try await database.feed("ann").count == 2)
            let answer = try await database.outcomes(
                "ann", change(3, "DELETE", "folders", id("a1"), base: 1),
                change(4, "DELETE", "drafts", id("c1"), base: 1))
            #expect(answer == ["applied 2", "applied 2"])
            #expect(
                try await database.feed("ann", after: 2) == ["D drafts c1 2", "D folders a1 2"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A parent that some child still points to is refused, and its child stays")
    func stillHeld() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            try await database.upload(
                "ann", Self.folder(1, "a1", "x"), change(2, "INSERT", "drafts", id("c1"), "{}"))
            try await database.execute("UPDATE s.drafts SET folder = '\(id("a1"))'")
            let answer = try await database.outcomes(
                "ann", change(3, "DELETE", "folders", id("a1"), base: 1),
                Self.folder(4, "a2", "x"))
            #expect(answer == ["materialize_error 23503", "materialize_error 23505"])
            #expect(try await Self.keys("folders", database) == "a1")
            #expect(try await database.verify().0 == [])
        }
    }
}
