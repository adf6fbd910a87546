import Postgres
import Testing

/// A statement whose rows fit its decoder.
private struct ReadNumbers: TypedStatement {
    static let statement = Statement(
        name: "typed_numbers",
        sql: "SELECT n, nullif(n, 2), 'number ' || n FROM generate_series($1, $2) AS n",
        parameters: [.int8, .int8], results: .binary)

    let range: ClosedRange<Int64>

    struct Row: Equatable {
        let number: Int64
        let unlessTwo: Int64?
        let text: String
    }

    func bind(to bindings: inout Bindings) {
        bindings.bind(range.lowerBound)
        bindings.bind(range.upperBound)
    }

    static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
        Row(
            number: try columns.next(Int64.self), unlessTwo: try columns.next(Int64?.self),
            text: try columns.next(String.self))
    }
}

/// Statements whose select lists their decoders do not fit.
private struct ReadTooMuch: TypedStatement {
    static let statement = Statement(name: "typed_short", sql: "SELECT 1::int8")

    static func row(_ columns: inout RowColumns) throws(PostgresError) -> [Int64] {
        [try columns.next(Int64.self), try columns.next(Int64.self)]
    }
}

private struct ReadTooLittle: TypedStatement {
    static let statement = Statement(name: "typed_long", sql: "SELECT 1::int8, 2::int8")

    static func row(_ columns: inout RowColumns) throws(PostgresError) -> Int64 {
        try columns.next(Int64.self)
    }
}

private struct ReadNull: TypedStatement {
    static let statement = Statement(
        name: "typed_null", sql: "SELECT NULL::int8 AS head", results: .binary)

    static func row(_ columns: inout RowColumns) throws(PostgresError) -> Int64 {
        try columns.next(Int64.self)
    }
}

private struct ReadText: TypedStatement {
    static let statement = Statement(
        name: "typed_text", sql: "SELECT 'one'::text AS id", results: .binary)

    static func row(_ columns: inout RowColumns) throws(PostgresError) -> Int64 {
        try columns.next(Int64.self)
    }
}

@Suite("Typed statements")
struct TypedStatementTests {
    @Test func `rows come as the statement decodes them`() async throws {
        try await withConnection { connection in
            let rows = try await connection.run(ReadNumbers(range: 1...3)).all()
            #expect(rows.map(\.number) == [1, 2, 3])
            #expect(rows.map(\.unlessTwo) == [1, nil, 3])
            #expect(rows.map(\.text) == ["number 1", "number 2", "number 3"])
            #expect(try await connection.run(ReadNumbers(range: 1...1)).one().number == 1)
        }
    }

    @Test func `tickets find their rows in one round trip`() async throws {
        try await withConnection { connection in
            var pipeline = Pipeline()
            pipeline.add(Statement(name: "typed_begin", sql: "BEGIN"))
            let low = pipeline.add(ReadNumbers(range: 1...2))
            let high = pipeline.add(ReadNumbers(range: 8...9))
            let sum = pipeline.add(command("SELECT 40 + 2"), of: Int64.self)
            pipeline.add(Statement(name: "typed_commit", sql: "COMMIT"))
            let results = try await connection.run(pipeline)
            #expect(try results[high].all().map(\.number) == [8, 9])
            #expect(try results[low].all().map(\.number) == [1, 2])
            #expect(try results[sum].one() == 42)
            #expect(!connection.isInTransaction)
        }
    }

    @Test func `where each transaction has settings, tickets still find their rows`() async throws {
        let change = { (configuration: inout PostgresConfiguration) in
            configuration.settingsDelivery = .eachTransaction
            configuration.sessionSettings = ["TimeZone": "UTC"]
            configuration.usesNamedStatements = false
        }
        try await withConnection(change) { connection in
            #expect(connection.setsEachTransaction)
            var pipeline = Pipeline()
            pipeline.add(Statement(name: "typed_begin", sql: "BEGIN"))
            let numbers = pipeline.add(ReadNumbers(range: 4...5))
            pipeline.add(Statement(name: "typed_commit", sql: "COMMIT"))
            let results = try await connection.run(pipeline)
            #expect(try results[numbers].all().map(\.number) == [4, 5])
        }
    }

    @Test func `streamed rows come as the statement decodes them`() async throws {
        try await withConnection { connection in
            var sum: Int64 = 0
            try await connection.stream(ReadNumbers(range: 1...1000)) { sum += $0.number }
            #expect(sum == 500_500)
            try await expectUsable(connection)
        }
    }

    @Test func `a decoder that does not fit its select list gets an error`() async throws {
        try await withConnection { connection in
            for (text, error) in [
                (
                    "a row of 1 columns: its decoder reads more",
                    await postgresError { _ = try await connection.run(ReadTooMuch()).one() }
                ),
                (
                    "a row of 2 columns: its decoder reads 1",
                    await postgresError { _ = try await connection.run(ReadTooLittle()).one() }
                ),
                (
                    "column head (0) of row 0: NULL where an integer is needed",
                    await postgresError { _ = try await connection.run(ReadNull()).one() }
                ),
                (
                    "column id (0) of row 0: not an integer",
                    await postgresError { _ = try await connection.run(ReadText()).one() }
                ),
            ] {
                #expect(error?.kind == .decoding(text))
                #expect(error?.statementName?.hasPrefix("typed_") == true)
            }
            try await expectUsable(connection)
        }
    }

    @Test func `a missing row is an error where one is needed`() async throws {
        try await withConnection { connection in
            let rows = try await connection.run(ReadNumbers(range: 2...3))
            #expect(try rows.first()?.number == 2)
            let none = try await connection.rows(
                command("SELECT 1 WHERE false"), of: Int64.self)
            #expect(try none.first() == nil)
            let error = await postgresError { _ = try none.one() }
            #expect(error?.kind == .decoding("an answer without the row that is needed"))
        }
    }
}
