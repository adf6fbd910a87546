import Model
import Testing
@testable import UploadService

/// Changes that only fit together: rows of one upload that take each other's unique values.
@Suite("Unique values are swapped, moved and freed")
struct UniqueSetTests {
    private static let yaml = "  - {table: s.cells, owner: owner}"

    /// - Parameter rest: columns and constraints in addition to the key and the owner.
    private static func cells(_ rest: String) -> String {
        let parts = rest.split(separator: ";", maxSplits: 1).map(String.init)
        let more = parts.count > 1 ? ";\(parts[1])" : ""
        return "CREATE TABLE s.cells (id uuid PRIMARY KEY, owner text NOT NULL, \(parts[0]))\(more)"
    }

    private static func insert(_ number: Int, _ key: String, _ payload: String) -> String {
        change(number, "INSERT", "cells", id(key), payload)
    }

    private static func update(
        _ number: Int, _ key: String, base: Int = 1, _ payload: String
    ) -> String {
        change(number, "UPDATE", "cells", id(key), base: base, payload)
    }

    /// What PostgreSQL has, row by row.
    private static func column(
        _ name: String, _ database: SyncedDatabase
    ) async throws -> String? {
        try await database.value(
            "SELECT string_agg(\(name)::text, ' ' ORDER BY id) FROM s.cells")
    }

    @Test(
        "Three rows hand a unique number around: all are applied, each logged once",
        arguments: [
            "pos int NOT NULL, UNIQUE (owner, pos)",
            "pos int, UNIQUE (owner, pos)",
            "pos int NOT NULL CHECK (pos > 0), UNIQUE (owner, pos)",
            "pos int NOT NULL CHECK (pos < 100), UNIQUE (owner, pos)",
            "pos int NOT NULL CHECK (pos BETWEEN 1 AND 20), UNIQUE (owner, pos)",
            "pos smallint NOT NULL, UNIQUE (owner, pos)",
            "pos bigint NOT NULL, UNIQUE (pos)",
            "pos numeric(3,0) NOT NULL, UNIQUE (owner, pos)",
            "pos real NOT NULL, UNIQUE (owner, pos)",
            "pos int NOT NULL, UNIQUE (owner, pos) DEFERRABLE INITIALLY DEFERRED",
            "pos int NOT NULL, UNIQUE (owner, pos) DEFERRABLE",
            "pos int NOT NULL, EXCLUDE USING btree (pos WITH =)",
            "pos int NOT NULL, gone timestamptz; "
                + "CREATE UNIQUE INDEX ON s.cells (owner, pos) WHERE gone IS NULL",
            "pos int NOT NULL; CREATE UNIQUE INDEX ON s.cells (owner, abs(pos))",
            "pos int NOT NULL; CREATE UNIQUE INDEX ON s.cells (owner, pos) INCLUDE (id)",
            "pos int NOT NULL, twice int GENERATED ALWAYS AS (pos * 2) STORED, "
                + "UNIQUE (owner, twice)",
        ])
    func numbers(_ table: String) async throws {
        try await SyncedDatabase.with(tables: Self.cells(table), registered: Self.yaml) {
            database in
            try await database.upload(
                "ann", Self.insert(1, "a1", #"{"pos":1}"#), Self.insert(2, "a2", #"{"pos":2}"#),
                Self.insert(3, "a3", #"{"pos":3}"#))
            let answer = try await database.outcomes(
                "ann", Self.update(4, "a1", #"{"pos":2}"#), Self.update(5, "a2", #"{"pos":3}"#),
                Self.update(6, "a3", #"{"pos":1}"#))
            #expect(answer == ["applied 2", "applied 2", "applied 2"])
            #expect(try await Self.column("pos", database) == "2 3 1")
            #expect(
                try await database.feed("ann", after: 3)
                    == ["U cells a1 2", "U cells a2 2", "U cells a3 2"])
            #expect(try await database.verify().0 == [])
        }
    }

    /// A column's type and check, and two values that it takes.
    private static let texts: [(column: String, values: [String])] = [
        ("text NOT NULL", ["one", "two"]),
        ("text NOT NULL CHECK (length(code) = 3)", ["one", "two"]),
        ("text NOT NULL CHECK (code ~ '^[A-Z]{3}$')", ["ONE", "TWO"]),
        ("text NOT NULL CHECK (code ~ '^[0-9]+$')", ["11", "12"]),
        ("text NOT NULL CHECK (code LIKE '%@example.org')", ["a@example.org", "b@example.org"]),
        ("varchar(3) NOT NULL", ["one", "two"]),
        ("char(3) NOT NULL", ["one", "two"]),
        ("uuid NOT NULL", [id("e1"), id("e2")]),
        ("date NOT NULL", ["2026-01-01", "2026-01-02"]),
        ("timestamptz NOT NULL", ["2026-01-01 00:00:00+00", "2026-01-02 00:00:00+00"]),
        ("bytea NOT NULL", ["AQ==", "Ag=="]),
        ("jsonb NOT NULL", ["one", "two"]),
        ("name NOT NULL", ["one", "two"]),
        ("time NOT NULL", ["10:00:00", "11:00:00"]),
        ("time(0) NOT NULL", ["10:00:00", "11:00:00"]),
        ("timetz NOT NULL", ["10:00:00+00", "11:00:00+00"]),
        ("interval NOT NULL", ["1 day", "2 days"]),
        ("money NOT NULL", ["$1.00", "$2.00"]),
        ("oid NOT NULL", ["1", "2"]),
        ("pg_lsn NOT NULL", ["0/1", "0/2"]),
        ("inet NOT NULL", ["10.0.0.1", "10.0.0.2"]),
        ("cidr NOT NULL", ["10.0.0.0/8", "11.0.0.0/8"]),
        ("macaddr NOT NULL", ["08:00:2b:01:02:03", "08:00:2b:01:02:04"]),
        ("macaddr8 NOT NULL", ["08:00:2b:01:02:03:04:05", "08:00:2b:01:02:03:04:06"]),
        ("bit(16) NOT NULL", ["0000000000000001", "0000000000000010"]),
        ("varbit NOT NULL", ["1", "10"]),
        ("int[] NOT NULL", ["{1}", "{2}"]),
        ("text[] NOT NULL", ["{a}", "{b}"]),
        ("text NOT NULL CHECK (code IN ('low', 'mid', 'high'))", ["low", "high"]),
    ]

    @Test("Two rows exchange a unique value of any type", arguments: UniqueSetTests.texts.indices)
    func types(_ place: Int) async throws {
        let (column, values) = Self.texts[place]
        try await SyncedDatabase.with(
            tables: Self.cells("code \(column), UNIQUE (owner, code)"), registered: Self.yaml
        ) { database in
            func payload(_ number: Int) -> String { #"{"code":"\#(values[number])"}"# }
            try await database.upload(
                "ann", Self.insert(1, "a1", payload(0)), Self.insert(2, "a2", payload(1)))
            let first = try await database.value(
                "SELECT code::text FROM s.cells WHERE id = '\(id("a1"))'")
            let answer = try await database.outcomes(
                "ann", Self.update(3, "a1", payload(1)), Self.update(4, "a2", payload(0)))
            #expect(answer == ["applied 2", "applied 2"])
            #expect(
                try await database.value("SELECT code::text FROM s.cells WHERE id = '\(id("a2"))'")
                    == first)
            #expect(try await database.download("ann").count == 4)
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A chain is applied in whatever order its rows come", arguments: [false, true])
    func chain(backwards: Bool) async throws {
        try await SyncedDatabase.with(
            tables: Self.cells("list text NOT NULL, pos int NOT NULL, UNIQUE (owner, list, pos)"),
            registered: Self.yaml
        ) { database in
            let places = 1...40
            func payload(_ pos: Int) -> String { #"{"list":"l","pos":\#(pos)}"# }
            try await database.upload(
                "ann",
                places.map { Self.insert($0, "a\($0)", payload($0)) }.joined(separator: ","))
            let shifted = places.map { Self.update($0 + 100, "a\($0)", payload($0 + 1)) }
            let answer = try await database.outcomes(
                "ann", (backwards ? shifted.reversed() : shifted).joined(separator: ","))
            #expect(answer == Array(repeating: "applied 2", count: places.count))
            #expect(
                try await database.value("SELECT min(pos) || '-' || max(pos) FROM s.cells")
                    == "2-41")
            #expect(try await database.download("ann").count == 2 * places.count)
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Several unique indexes are exchanged at once, and atomically", arguments: [false, true])
    func severalIndexes(atomic: Bool) async throws {
        try await SyncedDatabase.with(
            tables: Self.cells(
                "pos int NOT NULL, code text NOT NULL, name text, UNIQUE (owner, pos), "
                    + "UNIQUE (code); CREATE UNIQUE INDEX ON s.cells (lower(name))"),
            registered: Self.yaml
        ) { database in
            let (one, two) = (
                #"{"pos":1,"code":"c1","name":"N1"}"#, #"{"pos":2,"code":"c2","name":"n2"}"#
            )
            try await database.upload("ann", Self.insert(1, "a1", one), Self.insert(2, "a2", two))
            let answer = try await database.outcomes(
                "ann", atomic: atomic, Self.update(3, "a1", two), Self.update(4, "a2", one))
            #expect(answer == ["applied 2", "applied 2"])
            #expect(try await Self.column("pos || code || name", database) == "2c2n2 1c1N1")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("The default moves from one row to another, whichever is sent first")
    func flag() async throws {
        try await SyncedDatabase.with(
            tables: Self.cells(
                "is_default bool NOT NULL; CREATE UNIQUE INDEX ON s.cells (owner) WHERE is_default"
            ), registered: Self.yaml
        ) { database in
            let (yes, no) = (#"{"is_default":true}"#, #"{"is_default":false}"#)
            try await database.upload("ann", Self.insert(1, "a1", yes), Self.insert(2, "a2", no))
            let forth = try await database.outcomes(
                "ann", Self.update(3, "a2", yes), Self.update(4, "a1", no))
            #expect(forth == ["applied 2", "applied 2"])
            let back = try await database.outcomes(
                "ann", Self.update(5, "a1", base: 2, yes), Self.update(6, "a2", base: 2, no))
            #expect(back == ["applied 3", "applied 3"])
            #expect(try await Self.column("is_default", database) == "true false")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Ranges that may not overlap change places")
    func ranges() async throws {
        try await SyncedDatabase.with(
            tables: Self.cells("span int4range NOT NULL, EXCLUDE USING gist (span WITH &&)"),
            registered: Self.yaml
        ) { database in
            try await database.upload(
                "ann", Self.insert(1, "a1", #"{"span":"[1,5)"}"#),
                Self.insert(2, "a2", #"{"span":"[5,9)"}"#))
            let answer = try await database.outcomes(
                "ann", Self.update(3, "a1", #"{"span":"[4,9)"}"#),
                Self.update(4, "a2", #"{"span":"[1,4)"}"#))
            #expect(answer == ["applied 2", "applied 2"])
            #expect(try await Self.column("span", database) == "[4,9) [1,4)")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Rows of a table without an owner column, and of partitions, change places")
    func otherTables() async throws {
        try await SyncedDatabase.with(
            tables: """
                CREATE TABLE s.shared (id uuid PRIMARY KEY, pos int NOT NULL UNIQUE);
                CREATE TABLE s.parts (id uuid, owner text, pos int NOT NULL,
                    PRIMARY KEY (owner, id), UNIQUE (owner, pos)) PARTITION BY HASH (owner);
                CREATE TABLE s.parts_0 PARTITION OF s.parts
                    FOR VALUES WITH (modulus 2, remainder 0);
                CREATE TABLE s.parts_1 PARTITION OF s.parts
                    FOR VALUES WITH (modulus 2, remainder 1);
                """,
            registered: """
                  - {table: s.shared}
                  - {table: s.parts, owner: owner}
                """
        ) { database in
            for table in ["shared", "parts"] {
                let number = table == "shared" ? 0 : 10
                try await database.upload(
                    "ann", change(number + 1, "INSERT", table, id("a1"), #"{"pos":1}"#),
                    change(number + 2, "INSERT", table, id("a2"), #"{"pos":2}"#))
                let answer = try await database.outcomes(
                    "ann", change(number + 3, "UPDATE", table, id("a1"), base: 1, #"{"pos":2}"#),
                    change(number + 4, "UPDATE", table, id("a2"), base: 1, #"{"pos":1}"#))
                #expect(answer == ["applied 2", "applied 2"], "\(table)")
                #expect(
                    try await database.value(
                        "SELECT string_agg(pos::text, ' ' ORDER BY id) FROM s.\(table)") == "2 1")
            }
            #expect(try await database.verify().0 == [])
        }
    }
}
