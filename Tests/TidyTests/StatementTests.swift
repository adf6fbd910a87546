import Testing

/// A statement's select list and the reading of its rows stand side by side, in one order.
@Suite("Statements")
struct StatementTests {
    private static let files = ["Services", "Shared", "Tools"].flatMap(SourceTree.swift(below:))

    /// The readings of `PostgresResult` and `PostgresRow`.
    private static let readings = [
        "int64", "int32", "int16", "bool", "double", "string", "bytea", "char", "isNull",
        "withBytes", "unsafeBytes", "optionalInt64", "optionalInt32", "optionalInt16",
        "optionalBool", "optionalDouble", "optionalString", "optionalBytea",
    ]

    @Test func `no column of an answer is read by a literal number`() throws {
        var found: [String: [String]] = [:]
        for file in Self.files {
            for (index, line) in file.codeLines.enumerated() where Self.hasNumberedColumn(line) {
                found[file.path, default: []].append("\(index + 1): a column by its number")
            }
        }
        try Ratchet(
            name: "column-numbers", advice: "Read columns in order: `columns.next(Int64.self)`."
        ).check(found)
    }

    @Test func `no answer of a pipeline is found by counting`() throws {
        var found: [String: [String]] = [:]
        for file in Self.files {
            for (index, line) in file.codeLines.enumerated() {
                if line.contains("results[results.count") || line.contains(/\bresults\[\d/) {
                    found[file.path, default: []].append("\(index + 1): a result by its place")
                }
            }
        }
        try Ratchet(
            name: "result-places", advice: "Read it with the ticket that `Pipeline.add` returns."
        ).check(found)
    }

    @Test(arguments: [
        ("try row.int64(0, 1)", true), ("rows.optionalString(row, 4)", true),
        ("result.withBytes(row, 5) { $0 }", true), ("row.string(2)", true),
        ("columns.next(Int64.self)", false), ("result.int64(row, column)", false),
        ("configuration.string(name)", false), ("let isNull = (row, 3)", false),
    ])
    func `numbered columns are found`(line: String, isFound: Bool) {
        #expect(Self.hasNumberedColumn(line[...]) == isFound)
    }

    /// Whether a reading has a number as its last argument.
    private static func hasNumberedColumn(_ line: Substring) -> Bool {
        line.matches(of: /\.(\w+)\((?:[^(),]+, *)?\d+\)/).contains {
            readings.contains(String($0.output.1))
        }
    }
}
