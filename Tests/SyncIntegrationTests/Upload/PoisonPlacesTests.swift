import Testing

/// Rows that are refused for what the usual poisons do not have: the kind of a foreign key's value, another
/// user's row, the time it takes.
extension PoisonTests {
    /// Values that no parent could have, by the column that points to it.
    static let nonsense: [(column: String, values: [String])] = [
        ("parent_late", ["5", #"["a"]"#, #"{"a":1}"#, "true", #""nouuid""#, "1.5e300"]),
        (
            "parent_nr",
            [#"["a"]"#, #"{"a":1}"#, "true", #""nouuid""#, "1.5e300", "9223372036854775808"]
        ),
        ("parent_code", [#"["a"]"#, #"{"a":1}"#, "true"]),
    ]

    @Test(
        "S13: a foreign key's value of any JSON kind is refused alone, its neighbours are applied",
        arguments: nonsense.indices)
    func referenceOfAnyKind(_ index: Int) async throws {
        let (column, values) = Self.nonsense[index]
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            for (n, value) in values.enumerated() {
                let (before, after) = (id("b\(n)"), id("c\(n)"))
                let answer = try await database.outcomes(
                    "ann", change(n * 3 + 1, "INSERT", "rows", before, "{}"),
                    change(n * 3 + 2, "INSERT", "rows", id("a\(n)"), #"{"\#(column)":\#(value)}"#),
                    change(n * 3 + 3, "INSERT", "rows", after, "{}"))
                #expect(answer == ["applied 1", "invalid bad_payload", "applied 1"], "\(value)")
                let edit = try await database.outcomes(
                    "ann", atomic: true,
                    change(n + 501, "UPDATE", "rows", before, base: 1, #"{"n":1}"#),
                    change(n + 601, "UPDATE", "rows", after, base: 1, #"{"\#(column)":\#(value)}"#))
                #expect(edit == ["aborted", "invalid bad_payload"], "\(value)")
            }
            #expect(try await database.download("ann").count == values.count * 2)
            #expect(try await database.verify(user: "ann").0 == [])
        }
    }

    @Test("A payload that sets a generated column is applied, and the column stays PostgreSQL's")
    func generatedColumn() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            let answer = try await database.outcomes(
                "ann", change(1, "INSERT", "rows", id("a1"), #"{"n":1}"#),
                change(2, "INSERT", "rows", id("a2"), #"{"n":2,"twice":99}"#),
                change(3, "UPDATE", "rows", id("a1"), base: 1, #"{"n":3,"twice":{"no":"int"}}"#))
            #expect(answer == ["applied 1", "applied 1", "applied 2"])
            #expect(
                try await database.outcomes(
                    "ann", atomic: true,
                    change(4, "UPDATE", "rows", id("a2"), base: 1, #"{"twice":1}"#),
                    change(5, "INSERT", "rows", id("a3"), #"{"n":5,"twice":null}"#)) == [
                        "applied 2", "applied 1",
                    ])
            #expect(
                try await database.value(
                    "SELECT string_agg(twice::text, ' ' ORDER BY id) FROM s.rows WHERE owner = 'ann'"
                ) == "6 4 10")
            #expect(try await database.verify(user: "ann").0 == [])
        }
    }

    /// Rows that cannot be written for what is around them: their key, payload and answer.
    static let hindered: [(key: String, payload: String, answer: String)] = [
        (id("f1"), #"{"name":"mine"}"#, "invalid key_taken"),
        (id("a1"), #"{"wait":30}"#, "materialize_error 57014"),
    ]
    /// Of a statement, in milliseconds: much more than 200 good rows take, much less than the row that waits.
    static let statementTimeout = 1_000

    @Test(
        "P5: a taken key, and a row that takes too long, are refused alone in the middle of 200 good rows",
        arguments: hindered.indices)
    func hinderedAmong(_ index: Int) async throws {
        let bad = Self.hindered[index]
        try await SyncedDatabase.with(
            tables: Self.tables, registered: Self.yaml, statementTimeout: Self.statementTimeout
        ) { database in
            let rows = (0..<201).map { n in
                n == 100
                    ? change(n + 1, "INSERT", "rows", bad.key, bad.payload)
                    : change(
                        n + 1, "INSERT", "rows", id(String(0x1000 + n, radix: 16)), #"{"n":1}"#)
            }
            let answer = try await database.outcomes("ann", rows.joined(separator: ","))
            #expect(answer[100] == bad.answer)
            #expect(answer.filter { $0 == "applied 1" }.count == 200)
            #expect(try await database.download("ann").count == 200)
            #expect(try await database.verify(user: "ann").0 == [])
        }
    }

    @Test(
        "P5: a taken key, and a row that takes too long, are named in an atomic upload, of which nothing is applied",
        arguments: hindered.indices)
    func hinderedAtomic(_ index: Int) async throws {
        let bad = Self.hindered[index]
        try await SyncedDatabase.with(
            tables: Self.tables, registered: Self.yaml, statementTimeout: Self.statementTimeout
        ) { database in
            let answer = try await database.outcomes(
                "ann", atomic: true, change(1, "INSERT", "rows", id("b1"), "{}"),
                change(2, "INSERT", "rows", bad.key, bad.payload),
                change(3, "INSERT", "rows", id("b3"), "{}"))
            #expect(answer == ["aborted", bad.answer, "aborted"])
            #expect(try await database.feed("ann") == [])
            #expect(
                try await database.value("SELECT count(*)::text FROM s.rows WHERE owner = 'ann'")
                    == "0")
        }
    }
}
