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
}
