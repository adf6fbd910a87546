import Model
import Testing
@testable import UploadService

/// Sets whose tables store other values than they are given, or hold rows that the log does not
/// know.
@Suite("Sets with unique values, and what their tables store")
struct UniqueSetStoredTests {
    private static let yaml = "  - {table: s.cells, owner: owner}"
    private static let cells = """
        CREATE TABLE s.cells (id uuid PRIMARY KEY, owner text NOT NULL, pos int NOT NULL,
            amount numeric(10,2), word text, UNIQUE (owner, pos));
        CREATE FUNCTION s.twist() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.word := btrim(NEW.word);
            IF NEW.word = 'move' THEN NEW.owner := 'bob'; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER twist BEFORE INSERT OR UPDATE ON s.cells
            FOR EACH ROW EXECUTE FUNCTION s.twist()
        """

    private static func cell(
        _ number: Int, _ op: String, _ key: String, base: Int = 0, _ payload: String
    ) -> String {
        change(number, op, "cells", id(key), base: base, payload)
    }

    private static func seed(_ database: SyncedDatabase, _ positions: ClosedRange<Int>) async throws
    {
        try await database.upload(
            "ann",
            positions.map { cell($0, "INSERT", "a\($0)", #"{"pos":\#($0),"word":"w"}"#) }
                .joined(separator: ","))
    }

    private static func logged(_ name: String, _ database: SyncedDatabase) async throws -> String? {
        try await database.value(
            """
            SELECT string_agg(coalesce(payload ->> '\(name)', '-'), ' ' ORDER BY seq)
            FROM sync.change_log WHERE source_change_id > 10
            """)
    }

    @Test("Rows that are swapped are compared with what the table stores, like any others")
    func stored() async throws {
        try await SyncedDatabase.with(tables: Self.cells, registered: Self.yaml) { database in
            try await Self.seed(database, 1...2)
            let answer = try await database.outcomes(
                "ann",
                Self.cell(
                    11, "UPDATE", "a1", base: 1, #"{"pos":2,"amount":1.005,"word":" one "}"#),
                Self.cell(
                    12, "UPDATE", "a2", base: 1, #"{"pos":1,"amount":2.999,"word":" two "}"#))
            #expect(answer == ["applied 2", "applied 2"])
            #expect(try await Self.logged("amount", database) == "1.01 3.00")
            #expect(try await Self.logged("word", database) == "one two")
            #expect(try await Self.logged("pos", database) == "2 1")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("P5: a row that a trigger gives to another owner is refused, the swap beside it is not")
    func moved() async throws {
        try await SyncedDatabase.with(tables: Self.cells, registered: Self.yaml) { database in
            try await Self.seed(database, 1...4)
            let answer = try await database.outcomes(
                "ann", Self.cell(11, "UPDATE", "a1", base: 1, #"{"pos":2}"#),
                Self.cell(12, "INSERT", "b1", #"{"pos":9,"word":"move"}"#),
                Self.cell(13, "UPDATE", "a2", base: 1, #"{"pos":1}"#),
                Self.cell(14, "UPDATE", "a3", base: 1, #"{"pos":4,"word":"kept"}"#),
                Self.cell(15, "UPDATE", "a4", base: 1, #"{"pos":3}"#))
            #expect(!answer[1].hasPrefix("applied"))
            #expect(answer.filter { $0 == "applied 2" }.count == 4)
            #expect(
                try await database.value(
                    "SELECT string_agg(owner || pos, ' ' ORDER BY id) FROM s.cells")
                    == "ann2 ann1 ann4 ann3")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A chain in a swap never logs a value that was only parked")
    func chain() async throws {
        try await SyncedDatabase.with(tables: Self.cells, registered: Self.yaml) { database in
            try await Self.seed(database, 1...2)
            let answer = try await database.outcomes(
                "ann", Self.cell(11, "UPDATE", "a1", base: 1, #"{"word":"first"}"#),
                Self.cell(12, "UPDATE", "a1", base: 2, #"{"pos":2}"#),
                Self.cell(13, "UPDATE", "a2", base: 1, #"{"pos":1}"#))
            // No matter which of them are applied, the log has no other places than these.
            #expect(answer.count == 3 && answer[0] == "applied 2")
            let places = try await database.value(
                """
                SELECT count(*)::text FROM sync.change_log
                WHERE payload ->> 'pos' IS NOT NULL AND payload ->> 'pos' NOT IN ('1', '2')
                """)
            #expect(places == "0")
            #expect(
                try await database.value(
                    "SELECT count(*)::text FROM s.cells WHERE pos NOT IN (1, 2)") == "0")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A chain that begins with the move is swapped, each entry with its own values")
    func moveFirst() async throws {
        try await SyncedDatabase.with(tables: Self.cells, registered: Self.yaml) { database in
            try await Self.seed(database, 1...2)
            let answer = try await database.outcomes(
                "ann", Self.cell(11, "UPDATE", "a1", base: 1, #"{"pos":2}"#),
                Self.cell(12, "UPDATE", "a1", base: 2, #"{"word":" then "}"#),
                Self.cell(13, "UPDATE", "a2", base: 1, #"{"pos":1}"#))
            #expect(answer == ["applied 2", "applied 3", "applied 2"])
            #expect(
                try await database.value(
                    "SELECT string_agg(pos || word, ' ' ORDER BY id) FROM s.cells")
                    == "2then 1w")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A row that the log does not know keeps a value that its device leaves to the default")
    func takenOver() async throws {
        let table = """
            CREATE SEQUENCE s.places START 50;
            CREATE TABLE s.cells (id uuid PRIMARY KEY, owner text NOT NULL, word text,
                pos int NOT NULL DEFAULT nextval('s.places'), code int NOT NULL,
                UNIQUE (owner, pos), UNIQUE (owner, code))
            """
        try await SyncedDatabase.with(tables: table, registered: Self.yaml) { database in
            try await database.upload(
                "ann", Self.cell(1, "INSERT", "a1", #"{"pos":1,"code":1}"#),
                Self.cell(2, "INSERT", "a2", #"{"pos":2,"code":2}"#))
            try await database.execute(
                """
                SET session_replication_role = replica;
                INSERT INTO s.cells VALUES ('\(id("a3"))', 'ann', 'old', 3, 3);
                RESET session_replication_role
                """)
            // Two rows swap places, and the third is taken over without a place of its own.
            let answer = try await database.outcomes(
                "ann", Self.cell(11, "UPDATE", "a1", base: 1, #"{"pos":2}"#),
                Self.cell(12, "UPDATE", "a2", base: 1, #"{"pos":1}"#),
                Self.cell(13, "INSERT", "a3", #"{"pos":null,"code":3,"word":"new"}"#))
            #expect(answer == ["applied 2", "applied 2", "applied 1"])
            #expect(
                try await database.value(
                    "SELECT string_agg(pos::text, ' ' ORDER BY id) FROM s.cells") == "2 1 3")
            #expect(try await database.download("ann").last?.payload?["pos"] == "3")
            #expect(try await database.verify().0 == [])
        }
    }
}
