import Model
import Testing

/// A deleted row's unique value in the hands of another row of the same upload.
@Suite("Deleted rows free their unique values")
struct FreedValueTests {
    private static let likes = """
        CREATE TABLE s.songs (id uuid PRIMARY KEY, owner text NOT NULL);
        CREATE TABLE s.likes (id uuid PRIMARY KEY, owner text NOT NULL,
            song uuid NOT NULL REFERENCES s.songs, UNIQUE (owner, song))
        """
    private static let likesYAML = """
          - {table: s.songs, owner: owner}
          - {table: s.likes, owner: owner}
        """

    @Test("A row is deleted, and another one with its unique value inserted: both are applied")
    func likedAgain() async throws {
        try await SyncedDatabase.with(tables: Self.likes, registered: Self.likesYAML) { database in
            let song = #"{"song":"\#(id("e1"))"}"#
            try await database.upload(
                "ann", change(1, "INSERT", "songs", id("e1"), "{}"),
                change(2, "INSERT", "likes", id("a1"), song))
            let answer = try await database.outcomes(
                "ann", change(3, "DELETE", "likes", id("a1"), base: 1),
                change(4, "INSERT", "likes", id("a2"), song))
            #expect(answer == ["applied 2", "applied 1"])
            #expect(
                try await database.value("SELECT string_agg(id::text, ' ') FROM s.likes")
                    == id("a2"))
            #expect(
                try await database.feed("ann", after: 2).sorted()
                    == ["D likes a1 2", "I likes a2 1"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A value goes from a deleted row to an updated one, and that one's to a new one")
    func handedOn() async throws {
        try await SyncedDatabase.with(
            tables: """
                CREATE TABLE s.cells (id uuid PRIMARY KEY, owner text NOT NULL, pos int NOT NULL,
                    UNIQUE (owner, pos))
                """, registered: "  - {table: s.cells, owner: owner}"
        ) { database in
            try await database.upload(
                "ann", change(1, "INSERT", "cells", id("a1"), #"{"pos":1}"#),
                change(2, "INSERT", "cells", id("a2"), #"{"pos":2}"#))
            let answer = try await database.outcomes(
                "ann", change(3, "INSERT", "cells", id("a3"), #"{"pos":2}"#),
                change(4, "UPDATE", "cells", id("a2"), base: 1, #"{"pos":1}"#),
                change(5, "DELETE", "cells", id("a1"), base: 1))
            #expect(answer == ["applied 1", "applied 2", "applied 2"])
            #expect(
                try await database.value(
                    "SELECT string_agg(pos::text, ' ' ORDER BY id) FROM s.cells") == "1 2")
            #expect(try await database.verify().0 == [])
        }
    }

    private static let folders = """
        CREATE TABLE s.folders (id uuid PRIMARY KEY, owner text NOT NULL, name text NOT NULL,
            parent uuid REFERENCES s.folders ON DELETE CASCADE, UNIQUE (owner, name));
        CREATE TABLE s.files (id uuid PRIMARY KEY, owner text NOT NULL,
            folder uuid NOT NULL REFERENCES s.folders ON DELETE CASCADE, note text)
        """
    private static let foldersYAML = """
          - {table: s.folders, owner: owner}
          - {table: s.files, owner: owner}
        """

    @Test("Children move from the deleted parent to the one that takes its name, and live on")
    func movedChildren() async throws {
        try await SyncedDatabase.with(tables: Self.folders, registered: Self.foldersYAML) {
            database in
            try await database.upload(
                "ann", change(1, "INSERT", "folders", id("a1"), #"{"name":"x","parent":null}"#),
                change(
                    2, "INSERT", "folders", id("a2"), #"{"name":"y","parent":"\#(id("a1"))"}"#),
                change(
                    3, "INSERT", "files", id("b1"), #"{"folder":"\#(id("a1"))","note":"kept"}"#))
            let answer = try await database.outcomes(
                "ann", change(4, "DELETE", "folders", id("a1"), base: 1),
                change(5, "INSERT", "folders", id("a3"), #"{"name":"x","parent":null}"#),
                change(6, "UPDATE", "folders", id("a2"), base: 1, #"{"parent":"\#(id("a3"))"}"#),
                change(7, "UPDATE", "files", id("b1"), base: 1, #"{"folder":"\#(id("a3"))"}"#))
            #expect(answer == ["applied 2", "applied 1", "applied 2", "applied 2"])
            #expect(try await database.value("SELECT note FROM s.files") == "kept")
            #expect(
                try await database.value(
                    "SELECT string_agg(right(id::text, 2), ' ' ORDER BY id) FROM s.folders")
                    == "a2 a3")
            #expect(
                try await database.feed("ann", after: 3).sorted() == [
                    "D folders a1 2", "I folders a3 1", "U files b1 2", "U folders a2 2",
                ])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A delete that is refused keeps its value, and so refuses the row that needs it")
    func refusedDelete() async throws {
        try await SyncedDatabase.with(
            tables: """
                CREATE TABLE s.cells (id uuid PRIMARY KEY, owner text NOT NULL, pos int NOT NULL,
                    UNIQUE (owner, pos));
                CREATE TABLE s.prints (id int PRIMARY KEY, cell uuid REFERENCES s.cells)
                """, registered: "  - {table: s.cells, owner: owner}"
        ) { database in
            try await database.upload(
                "ann", change(1, "INSERT", "cells", id("a1"), #"{"pos":1}"#),
                change(2, "INSERT", "cells", id("a2"), #"{"pos":2}"#))
            try await database.execute("INSERT INTO s.prints VALUES (1, '\(id("a1"))')")
            let answer = try await database.outcomes(
                "ann", change(3, "DELETE", "cells", id("a1"), base: 1),
                change(4, "INSERT", "cells", id("a3"), #"{"pos":1}"#),
                change(5, "DELETE", "cells", id("a2"), base: 1),
                change(6, "INSERT", "cells", id("a4"), #"{"pos":2}"#))
            #expect(
                answer == [
                    "materialize_error 23503", "materialize_error 23505", "applied 2", "applied 1",
                ])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A row that is edited and deleted in one upload frees its value all the same")
    func editedAndDeleted() async throws {
        try await SyncedDatabase.with(tables: Self.likes, registered: Self.likesYAML) { database in
            let song = #"{"song":"\#(id("e1"))"}"#
            try await database.upload(
                "ann", change(1, "INSERT", "songs", id("e1"), "{}"),
                change(2, "INSERT", "songs", id("e2"), "{}"),
                change(3, "INSERT", "likes", id("a1"), song))
            let answer = try await database.outcomes(
                "ann", change(4, "INSERT", "likes", id("a2"), song),
                change(5, "UPDATE", "likes", id("a1"), base: 1, #"{"song":"\#(id("e2"))"}"#),
                change(6, "DELETE", "likes", id("a1"), base: 2))
            #expect(answer == ["applied 1", "applied 2", "applied 3"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A chain over the values of a foreign key, none of which can be made up, is applied")
    func references() async throws {
        try await SyncedDatabase.with(tables: Self.likes, registered: Self.likesYAML) { database in
            func like(_ number: Int, _ op: String, _ key: String, base: Int = 0, _ song: String)
                -> String
            {
                change(number, op, "likes", id(key), base: base, #"{"song":"\#(id(song))"}"#)
            }
            let songs = (1...4).map { change($0, "INSERT", "songs", id("e\($0)"), "{}") }
            let likes = (1...3).map { like($0 + 10, "INSERT", "a\($0)", "e\($0)") }
            try await database.upload("ann", (songs + likes).joined(separator: ","))
            let answer = try await database.outcomes(
                "ann",
                (1...3).map { like($0 + 20, "UPDATE", "a\($0)", base: 1, "e\($0 + 1)") }
                    .joined(separator: ","))
            #expect(answer == ["applied 2", "applied 2", "applied 2"])
            #expect(
                try await database.value(
                    "SELECT string_agg(right(song::text, 2), ' ' ORDER BY id) FROM s.likes")
                    == "e2 e3 e4")
            #expect(try await database.verify().0 == [])
        }
    }
}
