import Testing

@Suite("Rows that one statement writes to several times: devices end with the table's rows")
struct RowsWrittenTwiceTests {
    private static let tables = """
        CREATE TABLE s.nodes (code text PRIMARY KEY, owner text);
        CREATE TABLE s.edges (id uuid PRIMARY KEY, owner text,
            whole text REFERENCES s.nodes ON DELETE CASCADE ON UPDATE CASCADE,
            a text REFERENCES s.nodes ON DELETE SET NULL ON UPDATE CASCADE,
            b text REFERENCES s.nodes ON DELETE SET NULL ON UPDATE CASCADE);
        """
    private static let yaml = """
        - {table: s.nodes, owner: owner}
        - {table: s.edges, owner: owner}
        """

    private static func with(_ body: (SyncedDatabase) async throws -> Void) async throws {
        try await SyncedDatabase.with(tables: tables, registered: yaml) { database in
            try await database.execute(
                """
                INSERT INTO s.nodes VALUES ('x', 'ann'), ('y', 'ann');
                INSERT INTO s.edges VALUES ('\(id("e1"))', 'ann', NULL, 'x', 'y')
                """)
            try await body(database)
        }
    }

    @Test("Two foreign keys of one row are set to null by one DELETE of plain SQL")
    func plainSQL() async throws {
        try await Self.with { database in
            try await database.execute("DELETE FROM s.nodes")
            #expect(
                try await database.feed("ann", after: 3) == [
                    "D nodes x 2", "D nodes y 2", "U edges e1 2",
                ])
            let payload = try #require(try await database.download("ann").last?.payload)
            #expect(payload["a"] == "<null>")
            #expect(payload["b"] == "<null>")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Two foreign keys of one row are set to null by an upload")
    func upload() async throws {
        try await Self.with { database in
            let outcomes = try await database.outcomes(
                "ann", change(1, "DELETE", "nodes", "x", base: 1),
                change(2, "DELETE", "nodes", "y", base: 1))
            #expect(outcomes == ["applied 2", "applied 2"])
            #expect(try await database.feed("ann", after: 5) == ["U edges e1 2"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("New keys reach a row that points to several of them")
    func newKeys() async throws {
        try await Self.with { database in
            try await database.execute("UPDATE s.nodes SET code = code || '2'")
            let payload = try #require(try await database.download("ann").last?.payload)
            #expect(payload["a"] == "x2")
            #expect(payload["b"] == "y2")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A row that one parent's delete sets to null and another's deletes has gone")
    func deletedAndSetNull() async throws {
        try await Self.with { database in
            try await database.execute("UPDATE s.edges SET whole = 'y', b = NULL")
            try await database.execute("DELETE FROM s.nodes")
            #expect(try await database.feed("ann", after: 6) == ["D edges e1 3"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test(
        "A trigger of the team's changes, deletes or hands on the row that was written",
        arguments: [
            "UPDATE s.edges SET a = NULL WHERE id = NEW.id",
            "DELETE FROM s.edges WHERE id = NEW.id",
            "UPDATE s.edges SET owner = 'bob' WHERE id = NEW.id",
        ])
    func teamTrigger(_ body: String) async throws {
        try await Self.with { database in
            try await database.execute(
                """
                CREATE FUNCTION s.again() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN \(body); RETURN NULL; END $$;
                CREATE TRIGGER again AFTER INSERT OR UPDATE ON s.edges
                    FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION s.again();
                """)
            try await database.execute("UPDATE s.edges SET b = NULL")
            #expect(try await database.verify().0 == [])
            try await database.execute(
                "INSERT INTO s.edges VALUES ('\(id("e2"))', 'ann', NULL, 'x', 'y')")
            #expect(try await database.verify().0 == [])
            let outcome = try await database.outcomes(
                "ann", change(1, "INSERT", "edges", id("e3"), #"{"a":"x"}"#))
            #expect(outcome == ["applied 1"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test(
        "A trigger of the team's puts a deleted row back, as it was, with other values or for another user",
        arguments: ["ROW", "STATEMENT"],
        [
            "SELECT o.* FROM gone AS o", "SELECT o.id, o.owner, NULL, NULL, 'y' FROM gone AS o",
            "SELECT o.id, 'bob', NULL, 'x', NULL FROM gone AS o",
        ])
    func putBack(_ level: String, _ rows: String) async throws {
        try await Self.with { database in
            let isRow = level == "ROW"
            let body =
                isRow ? rows.replacing("gone AS o", with: "(SELECT OLD.*) AS o") : rows
            // Of triggers on a statement the one that is called before ours writes within the statement.
            try await database.execute(
                """
                CREATE FUNCTION s.back() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN INSERT INTO s.edges \(body); RETURN NULL; END $$;
                CREATE TRIGGER back AFTER DELETE ON s.edges
                    \(isRow ? "" : "REFERENCING OLD TABLE AS gone")
                    FOR EACH \(level) EXECUTE FUNCTION s.back();
                """)
            let owner = rows.contains("'bob'") ? "bob" : "ann"
            try await database.execute("DELETE FROM s.edges")
            #expect(try await database.verify().0 == [])
            #expect(try await database.live(owner) == ["e1"])

            #expect(
                try await database.outcomes(
                    owner, change(1, "INSERT", "edges", id("e2"), "{}")) == ["applied 1"])
            let version = try #require(
                try await database.download(owner).last { $0.key == id("e1") })
            #expect(
                try await database.outcomes(
                    owner, change(2, "DELETE", "edges", id("e1"), base: version.version),
                    change(3, "DELETE", "edges", id("e2"), base: 1))
                    == ["applied \(version.version + 1)", "applied 2"])
            #expect(try await database.verify().0 == [])
            #expect(try await database.live(owner) == ["e1", "e2"])
        }
    }

    @Test("A trigger of the team's puts back the key that an UPDATE has changed")
    func putBackOldKey() async throws {
        try await Self.with { database in
            try await database.execute(
                """
                CREATE FUNCTION s.back() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN INSERT INTO s.edges SELECT OLD.*; RETURN NULL; END $$;
                CREATE TRIGGER back AFTER UPDATE OF id ON s.edges
                    FOR EACH ROW EXECUTE FUNCTION s.back();
                UPDATE s.edges SET id = '\(id("e9"))'
                """)
            #expect(try await database.verify().0 == [])
            #expect(try await database.live("ann") == ["e1", "e9"])
        }
    }

    @Test("A trigger of the team's deletes each row as soon as it is inserted")
    func deletedAtOnce() async throws {
        try await Self.with { database in
            try await database.execute(
                """
                CREATE FUNCTION s.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN DELETE FROM s.edges WHERE id = NEW.id; RETURN NULL; END $$;
                CREATE TRIGGER refuse AFTER INSERT ON s.edges FOR EACH ROW EXECUTE FUNCTION s.refuse();
                INSERT INTO s.edges VALUES ('\(id("e2"))', 'ann'), ('\(id("e3"))', 'ann')
                """)
            #expect(try await database.feed("ann", after: 3) == [])
            #expect(
                try await database.outcomes("ann", change(1, "INSERT", "edges", id("e4"), "{}"))
                    == ["applied 1"])
            #expect(
                try await database.feed("ann", after: 3) == ["I edges e4 1", "D edges e4 2"])
            #expect(try await database.live("ann") == ["e1"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test(
        "A row of a table without owners that a trigger puts back stays its user's, or is nobody's")
    func putBackWithoutOwner() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload(
                "ann", change(1, "INSERT", "tags", "t1", #"{"label":"x"}"#),
                change(2, "INSERT", "tags", "t2", #"{"label":"x"}"#))
            try await database.execute(
                """
                CREATE FUNCTION s.back() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN INSERT INTO s.tags VALUES (OLD.code, 'back'); RETURN NULL; END $$;
                CREATE TRIGGER back AFTER DELETE ON s.tags FOR EACH ROW EXECUTE FUNCTION s.back();
                DELETE FROM s.tags WHERE code = 't1'
                """)
            #expect(try await database.feed("ann", after: 2) == ["I tags t1 2"])
            // A key whose row a device deletes is anybody's, and the new row no user's.
            #expect(
                try await database.outcomes("ann", change(3, "DELETE", "tags", "t2", base: 1))
                    == ["applied 2"])
            #expect(try await database.feed("ann", after: 3) == ["D tags t2 2"])
            #expect(try await database.verify().0 == [])
        }
    }
}

extension SyncedDatabase {
    /// The last digits of the keys of `s.edges` that a device of the user ends with.
    fileprivate func live(_ user: String) async throws -> Set<String> {
        var live: Set<String> = []
        for change in try await download(user) where change.table == "edges" {
            let key = String(change.key.suffix(2))
            if change.operation == "DELETE" { live.remove(key) } else { live.insert(key) }
        }
        return live
    }
}
