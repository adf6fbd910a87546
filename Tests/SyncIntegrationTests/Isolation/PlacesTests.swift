import Model
import Postgres
import Sidecar
import Testing
@testable import UploadService

/// What sets of changes with unique values read and write: the user's rows alone, though another
/// user has rows of the same keys.
@Suite("Sets of changes look at their own user's rows")
struct PlacesTests {
    /// A row's place is all that the row holds.
    static func wholeRows(
        of table: Int, in schema: UploadSchema, for scope: NamedScope
    ) -> UniqueIndex {
        let columns = schema.tables[table].registered.columns.map { quoted($0.name) }
        return UniqueIndex(
            id: 1, scope: scope, table: table, quotedName: "s.whole", isImmediate: true,
            key: "ROW(\(columns.joined(separator: ", ")))::text", condition: "true", columns: [])
    }

    static func places(
        of key: RowKey, _ table: Int, in schema: UploadSchema, for scope: NamedScope
    ) -> Command {
        let registered = schema.tables[table].registered
        let index = wholeRows(of: table, in: schema, for: scope)
        return Command(
            ParkStatement.places(in: index, of: registered),
            ParkStatement.bindings([key], scope, of: registered))
    }

    /// A row of ann's in each table, and a column of it that can have another value.
    private static let rows: [String: (key: String, column: String)] = [
        "notes": (Victim.noteKey, "title"), "items": (id("b1"), "n"),
        "links": (id("d3"), "n"), "labels": (id("f1"), "tag"), "refusing": (id("c3"), "word"),
        "tags": ("\(Victim.textKey)1", "label"), "prefs": ("\(Victim.textKey)1", "value"),
    ]

    @Test("A stranger who knows the keys sees no place, and moves no row out of the way")
    func stranger() async throws {
        try await SyncedDatabase.with(tables: Victim.tables, registered: Victim.yaml) { database in
            let victim = try await Victim(in: database)
            let stranger = try await Stranger(in: database)
            let before = try await victim.everything()
            let schema = UploadSchema(catalog: try await database.source.catalog())
            #expect(schema.tables.count == Self.rows.count)
            for (index, table) in schema.tables.map(\.registered).enumerated() {
                let row = try #require(Self.rows[table.name.table])
                let key = try #require(RowKey(row.key, kind: table.keyKind))
                let own = try await database.sql.run(
                    Self.places(of: key, index, in: schema, for: victim.named))
                #expect(own.rowCount == 1, "\(table.name)")
                let others = try await database.sql.run(
                    Self.places(of: key, index, in: schema, for: stranger.named))
                #expect(others.rowCount == 0, "\(table.name)")
                let column = try #require(table.columns.firstIndex { $0.name == row.column })
                let value = row.column == "n" ? "77" : "NULL"
                func park(_ scope: NamedScope) -> Command {
                    Command(
                        ParkStatement.make(
                            ParkingOption(column: column, value: value, free: nil), of: table),
                        ParkStatement.bindings([key], scope, of: table))
                }
                try await database.sql.run(park(stranger.named))
                #expect(try await victim.everything() == before, "\(table.name)")
                // The user's own row it does move.
                _ = try await database.sql.run([
                    Command(UploadStatements.begin), park(victim.named),
                ])
                let moved = try await victim.everything()
                try await database.execute("ROLLBACK")
                #expect(moved != before, "\(table.name)")
            }
        }
    }

    @Test("A row that no user has yet has a place in a table without an owner column")
    func nobodys() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", change(1, "INSERT", "tags", "t1", "{}"))
            try await database.execute("INSERT INTO s.tags VALUES ('free', 'x')")
            let schema = UploadSchema(catalog: try await database.source.catalog())
            let table = try #require(schema.table(TableName(schema: "s", table: "tags")))
            let scope = try #require(
                Int64(try await database.value("SELECT scope_id::text FROM sync.scope") ?? ""))
            for (name, known) in [("free", 1), ("t1", 1), ("none", 0)] {
                let key = try #require(RowKey(name, kind: .text))
                let found = try await database.sql.run(
                    Self.places(
                        of: key, table, in: schema,
                        for: NamedScope(id: scope, user: UserID("ann"))))
                #expect(found.rowCount == known, "\(name)")
            }
        }
    }

    /// A key's type, two keys, and the rest of the table: what is unique.
    private static let tables: [(key: String, keys: [String], rest: String)] = [
        ("text", ["one", "two"], "pos int NOT NULL, UNIQUE (owner, pos)"),
        ("text", ["one", "two"], "pos int NOT NULL CHECK (pos > 0), UNIQUE (owner, pos)"),
        ("varchar(9)", ["one", "two"], "pos int, UNIQUE (owner, pos)"),
        ("uuid", [id("a1"), id("a2")], "pos bigint NOT NULL, UNIQUE (owner, pos)"),
        (
            "text", ["one", "two"],
            "pos int NOT NULL, EXCLUDE USING btree (owner WITH =, pos WITH =)"
        ),
        (
            "text", ["one", "two"],
            "pos int NOT NULL, gone bool; "
                + "CREATE UNIQUE INDEX ON s.cells (owner, pos) WHERE gone IS NULL OR NOT gone"
        ),
        (
            "text", ["one", "two"],
            "pos int NOT NULL, code text; CREATE UNIQUE INDEX ON s.cells (owner, abs(pos))"
        ),
    ]

    @Test(
        "Rows exchange unique values beside another user's rows of the same keys",
        arguments: PlacesTests.tables.indices, [false, true])
    func sameKeys(_ number: Int, isBobFirst: Bool) async throws {
        let (type, keys, rest) = Self.tables[number]
        let parts = rest.split(separator: ";", maxSplits: 1).map(String.init)
        let more = parts.count > 1 ? ";\(parts[1])" : ""
        try await SyncedDatabase.with(
            tables: """
                CREATE TABLE s.cells (id \(type), owner text NOT NULL, \(parts[0]),
                    PRIMARY KEY (owner, id))\(more)
                """, registered: "  - {table: s.cells, owner: owner}"
        ) { database in
            func cell(_ change: Int, _ op: String, _ key: Int, base: Int = 0, _ pos: Int) -> String
            {
                SyncIntegrationTests.change(
                    change, op, "cells", keys[key], base: base, #"{"pos":\#(pos)}"#)
            }
            // bob's have the positions of ann's, exchanged.
            for user in isBobFirst ? ["bob", "ann"] : ["ann", "bob"] {
                let first = user == "bob" ? 2 : 1
                try await database.upload(
                    user, cell(1, "INSERT", 0, first), cell(2, "INSERT", 1, 3 - first))
            }
            let answer = try await database.outcomes(
                "ann", cell(3, "UPDATE", 0, base: 1, 2), cell(4, "UPDATE", 1, base: 1, 1))
            #expect(answer == ["applied 2", "applied 2"])
            #expect(
                try await database.value(
                    "SELECT string_agg(pos::text, ' ' ORDER BY owner, id) FROM s.cells")
                    == "2 1 2 1")
            #expect(try await database.feed("ann", after: 2).count == 2)
            #expect(try await database.feed("bob").count == 2)
            #expect(try await database.verify().0 == [])
        }
    }
}
