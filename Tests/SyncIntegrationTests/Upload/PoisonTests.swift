import Testing

/// Promise P5, hazards S7, S13 and S21: a row that PostgreSQL refuses has its own answer, in any
/// place.
@Suite("Poison rows")
struct PoisonTests {
    static let tables = """
        CREATE TABLE s.parents (id uuid PRIMARY KEY, owner text, code text UNIQUE, nr int UNIQUE);
        CREATE TABLE s.rows (
            id uuid PRIMARY KEY, owner text, name varchar(10) NOT NULL DEFAULT 'x', n int CHECK (n < 100),
            code text UNIQUE, day date, twice int GENERATED ALWAYS AS (n * 2) STORED, wait int,
            must text NOT NULL GENERATED ALWAYS AS (nullif(name, 'none')) STORED,
            parent_now uuid, parent_late uuid,
            parent_code text REFERENCES s.parents (code), parent_nr int REFERENCES s.parents (nr));
        ALTER TABLE s.rows
            ADD FOREIGN KEY (parent_late) REFERENCES s.parents DEFERRABLE INITIALLY DEFERRED;
        CREATE FUNCTION s.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.name = 'raise' THEN RAISE EXCEPTION 'no such name' USING ERRCODE = 'P0001'; END IF;
            IF NEW.name = 'odd' THEN RAISE EXCEPTION 'odd' USING ERRCODE = 'ZZ123'; END IF;
            -- Codes that usually speak of the server.
            IF NEW.name ~ '^c' THEN RAISE EXCEPTION 'no' USING ERRCODE = substr(NEW.name, 2); END IF;
            IF NEW.wait > 0 THEN PERFORM pg_sleep(NEW.wait); END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON s.rows FOR EACH ROW EXECUTE FUNCTION s.refuse();
        -- Checked where no foreign key can be looked up before the write: by PostgreSQL alone.
        CREATE FUNCTION s.late() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.name = 'late' THEN RAISE EXCEPTION 'late' USING ERRCODE = '23514'; END IF;
            RETURN NULL;
        END $$;
        CREATE CONSTRAINT TRIGGER late AFTER INSERT OR UPDATE ON s.rows DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION s.late();
        INSERT INTO s.rows (id, owner, code) VALUES ('\(id("f1"))', 'bob', 'taken');
        """
    static let yaml = """
          - {table: s.parents, owner: owner}
          - {table: s.rows, owner: owner}
        """

    /// A payload that is refused, and its answer.
    static let poisons: [(payload: String, answer: String)] = [
        (#"{"code":"taken"}"#, "materialize_error 23505"),
        (#"{"n":100}"#, "materialize_error 23514"),
        (#"{"name":"none"}"#, "materialize_error 23502"),
        (#"{"n":"many"}"#, "materialize_error 22P02"),
        (#"{"n":99999999999}"#, "materialize_error 22003"),
        (#"{"name":"longer than ten"}"#, "materialize_error 22001"),
        (#"{"day":"2026-02-30"}"#, "materialize_error 22008"),
        (#"{"name":"raise"}"#, "materialize_error P0001"),
        (#"{"name":"odd"}"#, "materialize_error ZZ123"),
        (#"{"name":"c42501"}"#, "materialize_error 42501"),
        (#"{"name":"c0A000"}"#, "materialize_error 0A000"),
        (#"{"name":"c55000"}"#, "materialize_error 55000"),
        (#"{"name":"late"}"#, "materialize_error 23514"),
        (#"{"parent_late":"\#(id("e1"))"}"#, "invalid fk_missing s.parents:\(id("e1"))"),
        (#"{"parent_code":"none"}"#, "invalid fk_missing s.parents:none"),
        (#"{"parent_late":"no uuid"}"#, "invalid bad_payload"),
    ]

    @Test(
        "Alone: refused, recorded, and the row can be sent again when it is mended",
        arguments: poisons.indices)
    func alone(_ index: Int) async throws {
        let poison = Self.poisons[index]
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            let bad = change(1, "INSERT", "rows", id("a1"), poison.payload)
            for _ in 1...2 {
                #expect(try await database.outcomes("ann", bad) == [poison.answer])
            }
            #expect(try await database.feed("ann") == [])
            let recorded = try await database.value(
                "SELECT sqlstate || ' ' || retry_count FROM sync.materialize_failures")
            let state =
                poison.answer.hasPrefix("materialize_error") ? String(poison.answer.suffix(5)) : nil
            #expect(recorded == state.map { "\($0) 1" })
            #expect(
                try await database.outcomes(
                    "ann", change(1, "INSERT", "rows", id("a1"), #"{"n":1}"#)) == ["applied 1"])
            #expect(try await database.verify(user: "ann").0 == [])
        }
    }

    @Test(
        "S7, H3: among 200 good rows, and as an edit of a good row, only it is refused",
        arguments: poisons.indices)
    func among(_ index: Int) async throws {
        let poison = Self.poisons[index]
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            let keys = (0..<201).map { id(String(0x1000 + $0, radix: 16)) }
            let rows = keys.enumerated().map { n, key in
                change(
                    n + 1, "INSERT", "rows", key,
                    n == 100 ? poison.payload : #"{"n":1,"name":"good"}"#)
            }
            let answer = try await database.outcomes("ann", rows.joined(separator: ","))
            #expect(answer[100] == poison.answer)
            #expect(answer.filter { $0 == "applied 1" }.count == 200)
            let edits = [
                change(501, "UPDATE", "rows", keys[0], base: 1, #"{"n":2}"#),
                change(502, "UPDATE", "rows", keys[1], base: 1, poison.payload),
            ]
            #expect(
                try await database.outcomes("ann", edits.joined(separator: ",")) == [
                    "applied 2", poison.answer,
                ])
            #expect(try await database.download("ann").count == 201)
            #expect(try await database.verify(user: "ann").0 == [])
        }
    }

    @Test("Another edit of a row that was refused long ago is listed as young as it is")
    func refusedAgain() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            let age = "SELECT (now() - first_seen < '1 hour')::text FROM sync.materialize_failures"
            let bad = change(1, "INSERT", "rows", id("a1"), #"{"n":100}"#)
            _ = try await database.outcomes("ann", bad)
            try await database.execute(
                "UPDATE sync.materialize_failures SET first_seen = now() - interval '1 year'")
            _ = try await database.outcomes("ann", bad)
            #expect(try await database.value(age) == "false")
            _ = try await database.outcomes(
                "ann", change(2, "INSERT", "rows", id("a1"), #"{"n":101}"#))
            #expect(try await database.value(age) == "true")
        }
    }

    @Test(
        "A trigger that asks for another try each time has its own row postponed, and no other",
        arguments: ["40001", "40P01", "40003"])
    func retriedForEver(_ state: String) async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            let answer = try await database.outcomes(
                "ann", change(1, "INSERT", "rows", id("a1"), #"{"name":"good"}"#),
                change(2, "INSERT", "rows", id("a2"), #"{"name":"c\#(state)"}"#),
                change(3, "INSERT", "parents", id("a3"), "{}"))
            #expect(answer == ["applied 1", "materialize_error \(state)", "applied 1"])
            // Postponed: the device sends it again, and there is nothing to do for the operator.
            #expect(
                try await database.value("SELECT count(*)::text FROM sync.materialize_failures")
                    == "0")
            #expect(
                try await database.outcomes(
                    "ann", change(2, "INSERT", "rows", id("a2"), #"{"name":"fine"}"#)) == [
                        "applied 1"
                    ])
            #expect(try await database.verify(user: "ann").0 == [])
        }
    }

    @Test(
        "In an atomic upload nothing is applied, and the row that is in the way is named",
        arguments: poisons.indices)
    func atomic(_ index: Int) async throws {
        let poison = Self.poisons[index]
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            let answer = try await database.outcomes(
                "ann", atomic: true, change(1, "INSERT", "rows", id("a1"), "{}"),
                change(2, "INSERT", "rows", id("a2"), poison.payload),
                change(3, "INSERT", "rows", id("a3"), "{}"))
            #expect(answer == ["aborted", poison.answer, "aborted"])
            #expect(try await database.feed("ann") == [])
            #expect(
                try await database.value("SELECT count(*)::text FROM s.rows WHERE owner = 'ann'")
                    == "0")
        }
    }

    @Test(
        "S21: the delete of a parent with children is refused where the schema refuses it, and seen"
    )
    func parentDelete() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            let first = try await database.outcomes(
                "ann", change(1, "INSERT", "parents", id("a1"), "{}"),
                change(2, "INSERT", "rows", id("b1"), #"{"parent_late":"\#(id("a1"))"}"#))
            #expect(first == ["applied 1", "applied 1"])
            let answer = try await database.outcomes(
                "ann", change(3, "DELETE", "parents", id("a1"), base: 1),
                change(4, "UPDATE", "rows", id("b1"), base: 1, #"{"n":5}"#))
            #expect(answer == ["materialize_error 23503", "applied 2"])
            #expect(try await database.verify(user: "ann").0 == [])
        }
    }

    @Test(
        "A row that takes longer than the statement timeout is refused; its neighbours are applied")
    func slow() async throws {
        try await SyncedDatabase.with(
            tables: Self.tables, registered: Self.yaml, statementTimeout: 300
        ) { database in
            let answer = try await database.outcomes(
                "ann", change(1, "INSERT", "rows", id("a1"), "{}"),
                change(2, "INSERT", "rows", id("a2"), #"{"wait":30}"#),
                change(3, "INSERT", "rows", id("a3"), "{}"))
            #expect(answer == ["applied 1", "materialize_error 57014", "applied 1"])
            #expect(try await database.verify(user: "ann").0 == [])
        }
    }

    @Test(
        "V11: a key of another user's is taken, alone and among others, and tells nothing of the row"
    )
    func taken() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            let answer = try await database.outcomes(
                "ann", change(1, "INSERT", "rows", id("a1"), "{}"),
                change(2, "INSERT", "rows", id("f1"), #"{"name":"mine"}"#),
                change(3, "DELETE", "rows", id("f1"), base: 1))
            #expect(answer == ["applied 1", "invalid key_taken", "applied"])
            #expect(
                try await database.value(
                    "SELECT owner || name FROM s.rows WHERE id = '\(id("f1"))'") == "bobx")
            #expect(try await database.verify(user: "ann").0 == [])
        }
    }
}
