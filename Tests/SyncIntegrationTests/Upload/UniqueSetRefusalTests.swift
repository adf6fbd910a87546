import Model
import Postgres
import Testing
@testable import UploadService

/// Sets of changes next to rows that are refused, and sets that cannot be written.
@Suite("Sets with unique values and refused rows")
struct UniqueSetRefusalTests {
    private static let steps = """
        CREATE TABLE s.steps (id uuid PRIMARY KEY, owner text NOT NULL, list text NOT NULL,
            pos int NOT NULL, n int CHECK (n > 0), UNIQUE (list, pos))
        """
    private static let yaml = "  - {table: s.steps, owner: owner}"
    private static let refused = "materialize_error 23505"

    private static func step(
        _ number: Int, _ op: String, _ key: String, base: Int = 0, pos: Int, n: Int = 1
    ) -> String {
        change(
            number, op, "steps", id(key), base: base, #"{"list":"l","pos":\#(pos),"n":\#(n)}"#)
    }

    private static func seed(_ database: SyncedDatabase, _ positions: ClosedRange<Int>) async throws
    {
        try await database.upload(
            "ann",
            positions.map { step($0, "INSERT", "a\($0)", pos: $0) }.joined(separator: ","))
    }

    private static func positions(_ database: SyncedDatabase) async throws -> String? {
        try await database.value(
            "SELECT string_agg(pos::text, ' ' ORDER BY id) FROM s.steps WHERE owner = 'ann'")
    }

    @Test("P5: a swap is applied beside rows that are refused, wherever they stand")
    func besideBadRows() async throws {
        try await SyncedDatabase.with(tables: Self.steps, registered: Self.yaml) { database in
            try await Self.seed(database, 1...6)
            try await database.execute(
                "INSERT INTO s.steps VALUES ('\(id("f1"))', 'bob', 'l', 99, 1)")
            let answer = try await database.outcomes(
                "ann", Self.step(11, "UPDATE", "a3", base: 1, pos: 3, n: -1),
                Self.step(12, "UPDATE", "a1", base: 1, pos: 6),
                Self.step(13, "INSERT", "b1", pos: 99),
                change(14, "INSERT", "notes", id("c1"), "{}"),
                Self.step(15, "UPDATE", "a6", base: 1, pos: 1),
                Self.step(16, "UPDATE", "a4", base: 1, pos: 50, n: 2))
            #expect(
                answer == [
                    "materialize_error 23514", "applied 2", Self.refused, "applied 1", "applied 2",
                    "applied 2",
                ])
            #expect(try await Self.positions(database) == "6 2 3 50 5 1")
            #expect(
                try await database.value(
                    "SELECT string_agg(source_change_id::text, ' ' ORDER BY source_change_id) "
                        + "FROM sync.materialize_failures") == "11 13")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Who needs the value of a refused row is refused with it, and nobody else")
    func brokenChain() async throws {
        try await SyncedDatabase.with(tables: Self.steps, registered: Self.yaml) { database in
            try await Self.seed(database, 1...30)
            // Each takes the next one's place; the 20th is refused for another reason.
            let answer = try await database.outcomes(
                "ann",
                (1...30).map {
                    Self.step(
                        $0 + 100, "UPDATE", "a\($0)", base: 1, pos: $0 + 1, n: $0 == 20 ? -1 : 1)
                }.joined(separator: ","))
            #expect(answer[..<19].allSatisfy { $0 == Self.refused })
            #expect(answer[19] == "materialize_error 23514")
            #expect(answer[20...].allSatisfy { $0 == "applied 2" })
            #expect(
                try await Self.positions(database)
                    == (Array(1...20) + Array(22...31)).map(String.init).joined(separator: " "))
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A chain that ends at another user's value is refused whole; a swap beside it is not")
    func foreignEnd() async throws {
        try await SyncedDatabase.with(tables: Self.steps, registered: Self.yaml) { database in
            try await Self.seed(database, 1...5)
            try await database.execute(
                "INSERT INTO s.steps VALUES ('\(id("f1"))', 'bob', 'l', 6, 1)")
            let answer = try await database.outcomes(
                "ann", Self.step(11, "UPDATE", "a3", base: 1, pos: 4),
                Self.step(12, "UPDATE", "a1", base: 1, pos: 2),
                Self.step(13, "UPDATE", "a4", base: 1, pos: 5),
                Self.step(14, "UPDATE", "a2", base: 1, pos: 1),
                Self.step(15, "UPDATE", "a5", base: 1, pos: 6))
            #expect(
                answer == [Self.refused, "applied 2", Self.refused, "applied 2", Self.refused])
            #expect(try await Self.positions(database) == "2 1 3 4 5")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Deferrable constraints: a swap is applied beside refused rows, too")
    func deferrable() async throws {
        try await SyncedDatabase.with(
            tables: Self.steps.replacing(
                "UNIQUE (list, pos)", with: "UNIQUE (list, pos) DEFERRABLE INITIALLY DEFERRED"),
            registered: Self.yaml
        ) { database in
            try await Self.seed(database, 1...4)
            let answer = try await database.outcomes(
                "ann", Self.step(11, "UPDATE", "a1", base: 1, pos: 2),
                Self.step(12, "UPDATE", "a3", base: 1, pos: 4),
                Self.step(13, "UPDATE", "a2", base: 1, pos: 1),
                Self.step(14, "INSERT", "b1", pos: 9, n: -1))
            #expect(
                answer == ["applied 2", Self.refused, "applied 2", "materialize_error 23514"])
            #expect(try await Self.positions(database) == "2 1 3 4")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Deferrable constraints: so is one that takes two statements, and one of another table")
    func deferrableStatements() async throws {
        let steps = Self.steps.replacing(
            "UNIQUE (list, pos)", with: "UNIQUE (list, pos) DEFERRABLE INITIALLY DEFERRED")
        let cells =
            "CREATE TABLE s.cells (id uuid PRIMARY KEY, owner text, pos int NOT NULL UNIQUE)"
        try await SyncedDatabase.with(
            tables: steps + ";" + cells,
            registered: Self.yaml + "\n  - {table: s.cells, owner: owner}"
        ) { database in
            try await Self.seed(database, 1...4)
            try await database.upload(
                "ann", change(5, "INSERT", "cells", id("c1"), #"{"pos":1}"#),
                change(6, "INSERT", "cells", id("c2"), #"{"pos":2}"#))
            let answer = try await database.outcomes(
                "ann", Self.step(11, "UPDATE", "a1", base: 1, pos: 2),
                change(12, "UPDATE", "steps", id("a2"), base: 1, #"{"pos":1}"#),
                Self.step(13, "INSERT", "b1", pos: 4),
                change(14, "UPDATE", "cells", id("c1"), base: 1, #"{"pos":2}"#),
                change(15, "UPDATE", "cells", id("c2"), base: 1, #"{"pos":1}"#))
            #expect(
                answer == ["applied 2", "applied 2", Self.refused, "applied 2", "applied 2"])
            #expect(try await Self.positions(database) == "2 1 3 4")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A swap with a row that plain SQL holds is postponed whole, and applied when it is free")
    func locked() async throws {
        try await SyncedDatabase.with(tables: Self.steps, registered: Self.yaml) { database in
            try await Self.seed(database, 1...2)
            let other = try await SyncedDatabase.connect(database.url)
            defer { other.close() }
            try await other.execute(
                script: "BEGIN; SELECT FROM s.steps WHERE id = '\(id("a1"))' FOR UPDATE")
            let swap =
                Self.step(11, "UPDATE", "a1", base: 1, pos: 2) + ","
                + Self.step(12, "UPDATE", "a2", base: 1, pos: 1)
            let answer = try await database.outcomes(
                "ann", swap, change(13, "INSERT", "notes", id("c1"), "{}"))
            let postponed = "materialize_error 55P03"
            #expect(answer == [postponed, postponed, "applied 1"])
            #expect(
                try await database.value("SELECT count(*)::text FROM sync.materialize_failures")
                    == "0")
            try await other.execute(script: "ROLLBACK")
            #expect(try await database.outcomes("ann", swap) == ["applied 2", "applied 2"])
            #expect(try await Self.positions(database) == "2 1")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A set whose values cannot be parked is refused, and the answer names the index")
    func impossible() async throws {
        try await SyncedDatabase.with(
            tables: """
                CREATE TABLE s.steps (id uuid PRIMARY KEY, owner text NOT NULL,
                    side bool NOT NULL, CONSTRAINT one_a_side UNIQUE (owner, side))
                """, registered: Self.yaml
        ) { database in
            let (left, right) = (#"{"side":false}"#, #"{"side":true}"#)
            try await database.upload(
                "ann", change(1, "INSERT", "steps", id("a1"), left),
                change(2, "INSERT", "steps", id("a2"), right))
            let answer = try await database.upload(
                "ann", change(3, "UPDATE", "steps", id("a1"), base: 1, right),
                change(4, "UPDATE", "steps", id("a2"), base: 1, left),
                change(5, "INSERT", "notes", id("c1"), "{}"))
            #expect(answer.outcomes.map(\.line) == [Self.refused, Self.refused, "applied 1"])
            for outcome in answer.outcomes.prefix(2) {
                guard case .materializeError(_, let message) = outcome else { continue }
                #expect(message.contains("one_a_side"))
            }
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A value that foreign keys follow is never parked: the children keep it")
    func followed() async throws {
        try await SyncedDatabase.with(
            tables: """
                CREATE TABLE s.steps (id uuid PRIMARY KEY, owner text NOT NULL,
                    code text UNIQUE);
                CREATE TABLE s.followers (id int PRIMARY KEY,
                    code text REFERENCES s.steps (code) ON UPDATE CASCADE)
                """, registered: Self.yaml
        ) { database in
            try await database.upload(
                "ann", change(1, "INSERT", "steps", id("a1"), #"{"code":"x"}"#),
                change(2, "INSERT", "steps", id("a2"), #"{"code":"y"}"#))
            try await database.execute("INSERT INTO s.followers VALUES (1, 'x'), (2, 'y')")
            let answer = try await database.outcomes(
                "ann", change(3, "UPDATE", "steps", id("a1"), base: 1, #"{"code":"y"}"#),
                change(4, "UPDATE", "steps", id("a2"), base: 1, #"{"code":"x"}"#))
            #expect(answer == [Self.refused, Self.refused])
            #expect(
                try await database.value(
                    "SELECT string_agg(code, ' ' ORDER BY id) FROM s.followers")
                    == "x y")
            #expect(try await database.verify().0 == [])
        }
    }
}
