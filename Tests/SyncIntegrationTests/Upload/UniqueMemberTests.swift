import Model
import Testing
@testable import UploadService

/// Exchanges in indexes whose columns have few values, or allow few.
@Suite("Unique values of every kind are exchanged where another value can stand in")
struct UniqueMemberTests {
    /// A table, and the payloads that its two rows exchange.
    struct Member: Sendable, CustomTestStringConvertible {
        let table: String
        let payloads: [String]
        /// Rows of the same user that stay as they are.
        var others: [String] = []

        init(_ table: String, _ one: String, _ two: String, beside others: String...) {
            self.table = table
            payloads = [one, two]
            self.others = others
        }

        var testDescription: String { table }
    }

    private static let sizes = """
        CREATE TYPE s.size AS ENUM ('xs', 's', 'm', 'l', 'xl', 'xxl');
        CREATE DOMAIN s.grade AS text CHECK (VALUE IN ('a''s', 'b', 'c'));
        CREATE TABLE s.seats (n int PRIMARY KEY); INSERT INTO s.seats VALUES (1), (2), (3);
        """

    private static func create(_ member: Member) -> String {
        let parts = member.table.split(separator: ";", maxSplits: 1).map(String.init)
        let more = parts.count > 1 ? ";\(parts[1])" : ""
        return """
            \(sizes)
            CREATE TABLE s.cells (id uuid PRIMARY KEY, owner text NOT NULL, \(parts[0]))\(more)
            """
    }

    private static let yaml = "  - {table: s.cells, owner: owner}"

    static let possible: [Member] = [
        Member("v s.size NOT NULL, UNIQUE (owner, v)", #"{"v":"xs"}"#, #"{"v":"s"}"#),
        // The first labels are taken.
        Member(
            "v s.size NOT NULL, UNIQUE (owner, v)", #"{"v":"xs"}"#, #"{"v":"s"}"#,
            beside: #"{"v":"m"}"#, #"{"v":"l"}"#),
        // One label is free, for two rows.
        Member(
            "v s.size NOT NULL CHECK (v < 'l'), UNIQUE (owner, v)", #"{"v":"xs"}"#,
            #"{"v":"m"}"#),
        Member(
            "v bool NOT NULL, w bool NOT NULL, UNIQUE (owner, v, w)",
            #"{"v":true,"w":true}"#, #"{"v":false,"w":true}"#, beside: #"{"v":true,"w":false}"#),
        // A check allows the last ones alone.
        Member(
            "v s.size NOT NULL CHECK (v >= 'm'), UNIQUE (v)", #"{"v":"m"}"#, #"{"v":"l"}"#),
        // No label is free: the other column stands in, or NULL does.
        Member(
            "v s.size NOT NULL CHECK (v < 'm'), day date NOT NULL, UNIQUE (owner, day, v)",
            #"{"v":"xs","day":"2026-01-01"}"#, #"{"v":"s","day":"2026-01-01"}"#),
        Member(
            "v s.size CHECK (v < 'm'), UNIQUE (owner, v)", #"{"v":"xs"}"#, #"{"v":"s"}"#),
        Member("v bool, UNIQUE (owner, v)", #"{"v":true}"#, #"{"v":false}"#),
        Member(
            "v bool NOT NULL, day date NOT NULL, UNIQUE (owner, day, v)",
            #"{"v":true,"day":"2026-01-01"}"#, #"{"v":false,"day":"2026-01-01"}"#),
        Member(
            "v bool NOT NULL, note text, UNIQUE (owner, v, note)",
            #"{"v":true,"note":"n"}"#, #"{"v":false,"note":"n"}"#),
        // The condition of a partial index stands in.
        Member(
            "v bool NOT NULL, live bool NOT NULL; "
                + "CREATE UNIQUE INDEX ON s.cells (owner, v) WHERE live",
            #"{"v":true,"live":true}"#, #"{"v":false,"live":true}"#),
        Member(
            "v bool NOT NULL, gone date; "
                + "CREATE UNIQUE INDEX ON s.cells (owner, v) WHERE gone IS NULL",
            #"{"v":true,"gone":null}"#, #"{"v":false,"gone":null}"#),
        Member(
            "v s.size NOT NULL, state s.size NOT NULL; "
                + "CREATE UNIQUE INDEX ON s.cells (owner, v) WHERE state = 'xs'",
            #"{"v":"xs","state":"xs"}"#, #"{"v":"s","state":"xs"}"#),
        Member(
            "v int, UNIQUE NULLS NOT DISTINCT (owner, v)", #"{"v":1}"#, #"{"v":null}"#),
        Member(
            "v int, w int, UNIQUE NULLS NOT DISTINCT (owner, v, w)",
            #"{"v":1,"w":null}"#, #"{"v":2,"w":null}"#, beside: #"{"v":null,"w":null}"#),
        Member("v int CHECK (v IS NOT NULL), UNIQUE (owner, v)", #"{"v":1}"#, #"{"v":2}"#),
        Member(
            "v text CHECK (v IS NOT NULL AND v <> ''), UNIQUE (owner, v)",
            #"{"v":"one"}"#, #"{"v":"two"}"#),
        // What a check lists stands in, or a parent that no row points to.
        Member("v int NOT NULL CHECK (v IN (10, 20, 30)), UNIQUE (v)", #"{"v":10}"#, #"{"v":20}"#),
        Member("v s.grade NOT NULL, UNIQUE (owner, v)", #"{"v":"a's"}"#, #"{"v":"b"}"#),
        Member(
            "v int NOT NULL REFERENCES s.seats, UNIQUE (owner, v)", #"{"v":1}"#, #"{"v":2}"#),
        // Some are checked at once, some at the end.
        Member(
            "v int NOT NULL, w int NOT NULL, UNIQUE (owner, v) DEFERRABLE INITIALLY DEFERRED, "
                + "UNIQUE (owner, w)",
            #"{"v":1,"w":1}"#, #"{"v":2,"w":2}"#),
        Member(
            "v bool NOT NULL, w int NOT NULL, UNIQUE (owner, v) DEFERRABLE, UNIQUE (owner, w)",
            #"{"v":true,"w":1}"#, #"{"v":false,"w":2}"#),
        Member(
            "v int NOT NULL, at tstzrange NOT NULL, "
                + "EXCLUDE USING gist (at WITH &&), UNIQUE (owner, v)",
            #"{"v":1,"at":"[2026-01-01,2026-01-03)"}"#, #"{"v":2,"at":"[2026-01-03,2026-01-05)"}"#),
        Member(
            "v bool NOT NULL, EXCLUDE USING btree (v WITH =) DEFERRABLE INITIALLY DEFERRED",
            #"{"v":true}"#, #"{"v":false}"#),
        Member(
            "p point NOT NULL, EXCLUDE USING gist (p WITH ~=) DEFERRABLE",
            #"{"p":"(1,1)"}"#, #"{"p":"(2,2)"}"#),
        // An expression makes a range of two columns.
        Member(
            "v int NOT NULL, w int NOT NULL, EXCLUDE USING gist (int4range(v, w) WITH &&)",
            #"{"v":1,"w":5}"#, #"{"v":5,"w":9}"#, beside: #"{"v":9,"w":12}"#),
        Member(
            "v int NOT NULL, w int NOT NULL CHECK (v < w), "
                + "EXCLUDE USING gist (int4range(v, w, '[]') WITH &&)",
            #"{"v":1,"w":4}"#, #"{"v":5,"w":9}"#),
        Member(
            "v smallint NOT NULL CHECK (v BETWEEN 0 AND 24), w smallint NOT NULL, "
                + "EXCLUDE USING gist (int4range(v, w) WITH &&)",
            #"{"v":8,"w":12}"#, #"{"v":12,"w":18}"#),
        Member(
            "v timestamptz NOT NULL, w timestamptz NOT NULL CHECK (w > v), "
                + "EXCLUDE USING gist (tstzrange(v, w) WITH &&)",
            #"{"v":"2026-01-01T08:00:00Z","w":"2026-01-01T09:00:00Z"}"#,
            #"{"v":"2026-01-01T09:00:00Z","w":"2026-01-01T10:30:00Z"}"#),
        Member(
            "v date NOT NULL, w date NOT NULL CHECK (w >= v), "
                + "EXCLUDE USING gist (daterange(v, w, '[]') WITH &&)",
            #"{"v":"2026-01-01","w":"2026-01-07"}"#, #"{"v":"2026-01-08","w":"2026-01-09"}"#),
        Member(
            "v numeric(6,2) NOT NULL, w numeric(6,2) NOT NULL CHECK (w > v), "
                + "EXCLUDE USING gist (numrange(v, w) WITH &&)",
            #"{"v":1.5,"w":2.25}"#, #"{"v":2.25,"w":9}"#),
    ]

    private static func seed(_ database: SyncedDatabase, _ member: Member) async throws {
        let rows = (member.payloads + member.others).enumerated().map { place, payload in
            change(place + 1, "INSERT", "cells", id("a\(place + 1)"), payload)
        }
        let answer = try await database.outcomes("ann", rows.joined(separator: ","))
        try #require(answer.allSatisfy { $0 == "applied 1" }, "\(answer)")
    }

    private static func exchange(_ member: Member) -> String {
        (1...2).map { number in
            change(
                number + 10, "UPDATE", "cells", id("a\(number)"), base: 1,
                member.payloads[2 - number])
        }.joined(separator: ",")
    }

    @Test(
        "Two rows exchange them; what stood in is in no log", arguments: UniqueMemberTests.possible)
    func exchanged(_ member: Member) async throws {
        try await SyncedDatabase.with(tables: Self.create(member), registered: Self.yaml) {
            database in
            try await Self.seed(database, member)
            let before = try await database.value(Self.rows)
            let answer = try await database.outcomes("ann", Self.exchange(member))
            #expect(answer == ["applied 2", "applied 2"])
            #expect(try await database.value(Self.rows) != before)
            let known = try await database.value(
                "SELECT count(DISTINCT payload::jsonb - 'id')::text FROM sync.change_log")
            #expect(known == "\(2 + member.others.count)")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Rows turn around one free value, in a circle and beside others")
    func aroundOne() async throws {
        let member = Member(
            "v s.size NOT NULL, UNIQUE (owner, v)", #"{"v":"xs"}"#, #"{"v":"s"}"#,
            beside: #"{"v":"m"}"#, #"{"v":"l"}"#, #"{"v":"xl"}"#)
        try await SyncedDatabase.with(tables: Self.create(member), registered: Self.yaml) {
            database in
            try await Self.seed(database, member)
            let next = ["s", "m", "l", "xl", "xs"]
            let answer = try await database.outcomes(
                "ann",
                next.enumerated().map { place, value in
                    change(
                        place + 10, "UPDATE", "cells", id("a\(place + 1)"), base: 1,
                        #"{"v":"\#(value)"}"#)
                }.joined(separator: ","), change(20, "INSERT", "notes", id("c1"), "{}"))
            #expect(answer == Array(repeating: "applied 2", count: 5) + ["applied 1"])
            #expect(
                try await database.value("SELECT string_agg(v::text, ' ' ORDER BY id) FROM s.cells")
                    == next.joined(separator: " "))
            #expect(try await database.feed("ann", after: 5).count == 6)
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Rows turn around one free value beside rows of another table that cannot be exchanged")
    func besideImpossible() async throws {
        let member = Member(
            "v int NOT NULL REFERENCES s.seats, UNIQUE (owner, v)", #"{"v":1}"#, #"{"v":2}"#)
        let tables =
            Self.create(member) + """
                ; CREATE TABLE s.switches (
                    id uuid PRIMARY KEY, owner text NOT NULL, v bool NOT NULL, UNIQUE (owner, v))
                """
        try await SyncedDatabase.with(
            tables: tables, registered: Self.yaml + "\n  - {table: s.switches, owner: owner}"
        ) { database in
            try await Self.seed(database, member)
            func switches(_ first: Int, _ operation: String, base: Int, _ values: [Bool]) -> String
            {
                values.enumerated().map { place, value in
                    change(
                        first + place, operation, "switches", id("b\(place)"), base: base,
                        #"{"v":\#(value)}"#)
                }.joined(separator: ",")
            }
            try await database.upload("ann", switches(5, "INSERT", base: 0, [true, false]))
            let answer = try await database.outcomes(
                "ann", switches(20, "UPDATE", base: 1, [false, true]), Self.exchange(member))
            #expect(answer.suffix(2) == ["applied 2", "applied 2"])
            #expect(answer.prefix(2).allSatisfy { $0.contains("23505") }, "\(answer)")
            #expect(
                try await database.value("SELECT string_agg(v::text, ' ' ORDER BY id) FROM s.cells")
                    == "2 1")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Two edits of a row stay in their order while rows turn around one free value")
    func editedTwice() async throws {
        let member = Member(
            "v s.size NOT NULL CHECK (v < 'l'), note text, UNIQUE (owner, v)",
            #"{"v":"xs","note":"0"}"#, #"{"v":"m","note":"0"}"#)
        try await SyncedDatabase.with(tables: Self.create(member), registered: Self.yaml) {
            database in
            try await Self.seed(database, member)
            let (one, two) = (id("a1"), id("a2"))
            let answer = try await database.outcomes(
                "ann", change(11, "UPDATE", "cells", one, base: 1, #"{"v":"m","note":"1"}"#),
                change(12, "UPDATE", "cells", two, base: 1, #"{"v":"xs","note":"0"}"#),
                change(13, "UPDATE", "cells", one, base: 2, #"{"v":"m","note":"2"}"#))
            #expect(answer == ["applied 2", "applied 2", "applied 3"])
            #expect(
                try await database.value("SELECT string_agg(note, ' ' ORDER BY id) FROM s.cells")
                    == "2 0")
            #expect(try await database.verify().0 == [])
        }
    }

    private static let rows =
        "SELECT string_agg((to_jsonb(c) - 'owner')::text, ' ' ORDER BY id) FROM s.cells AS c"

    static let impossible: [Member] = [
        Member(
            "v int NOT NULL REFERENCES s.seats CHECK (v < 3), CONSTRAINT one UNIQUE (owner, v)",
            #"{"v":1}"#, #"{"v":2}"#),
        Member(
            "v bool NOT NULL, CONSTRAINT one UNIQUE (owner, v)", #"{"v":true}"#, #"{"v":false}"#),
        Member(
            "v s.size NOT NULL CHECK (v < 'm'), CONSTRAINT one UNIQUE (owner, v)",
            #"{"v":"xs"}"#, #"{"v":"s"}"#),
        Member(
            "v bool NOT NULL; CREATE UNIQUE INDEX one ON s.cells (owner, v)", #"{"v":true}"#,
            #"{"v":false}"#),
    ]

    @Test(
        "Where none can, both rows are refused with the index and what helps",
        arguments: UniqueMemberTests.impossible)
    func refused(_ member: Member) async throws {
        try await SyncedDatabase.with(tables: Self.create(member), registered: Self.yaml) {
            database in
            try await Self.seed(database, member)
            let before = try await database.value(Self.rows)
            let answer = try await database.upload("ann", Self.exchange(member))
            for outcome in answer.outcomes {
                guard case .materializeError(_, let message) = outcome else {
                    Issue.record("\(outcome)")
                    continue
                }
                #expect(message.contains("23505") && message.contains("\"one\""))
                #expect(message.contains("DEFERRABLE INITIALLY DEFERRED"))
            }
            #expect(answer.outcomes.count == 2)
            #expect(try await database.value(Self.rows) == before)
            #expect(try await database.verify().0 == [])
        }
    }
}
