import CLibPQ
import Foundation
@testable import Postgres
import Testing

@Suite("Rows are read column by column, and what does not fit is an error")
struct RowColumnsTests {
    /// A result in text format, as the server would answer it; nil is NULL.
    private static func result(
        _ names: [String], _ rows: [[String?]] = [], statement: String = "probe"
    ) throws -> PostgresResult {
        let pointer = try #require(PQmakeEmptyPGresult(nil, PGRES_TUPLES_OK))
        var attributes = names.map { name in
            PGresAttDesc(
                name: strdup(name), tableid: 0, columnid: 0, format: 0, typid: 25, typlen: -1,
                atttypmod: -1)
        }
        defer { for attribute in attributes { free(attribute.name) } }
        try #require(PQsetResultAttrs(pointer, Int32(names.count), &attributes) == 1)
        for (row, values) in rows.enumerated() {
            for (column, value) in values.enumerated() {
                var bytes = value.map { $0.utf8.map { CChar(bitPattern: $0) } + [0] } ?? []
                let length = value.map { Int32($0.utf8.count) } ?? -1
                let isSet = bytes.withUnsafeMutableBufferPointer {
                    PQsetvalue(pointer, Int32(row), Int32(column), $0.baseAddress, length)
                }
                try #require(isSet == 1)
            }
        }
        return PostgresResult(owning: pointer, statementName: statement)
    }

    private static func decodingError(_ body: () throws -> Void) -> String? {
        do {
            try body()
            return nil
        } catch let error as PostgresError {
            guard case .decoding(let text) = error.kind else { return nil }
            return text
        } catch {
            return nil
        }
    }

    @Test func `each reading takes the next column`() throws {
        let result = try Self.result(
            ["id", "name", "seen", "key"],
            [["7", "ann", "t", #"\x0aff"#], ["-8", nil, "f", #"\x"#]])
        var rows = Rows(result) { columns throws(PostgresError) in
            (
                try columns.next(Int64.self), try columns.next(String?.self),
                try columns.next(Bool.self), try columns.next([UInt8].self)
            )
        }
        #expect(rows.count == 2)
        let first = try #require(try rows.next())
        #expect(first == (7, "ann", true, [10, 255]))
        let second = try #require(try rows.next())
        #expect(second == (-8, nil, false, []))
        #expect(try rows.next() == nil)
        #expect(try rows.all().map(\.0) == [7, -8])
    }

    @Test func `NULL where a value is needed is an error that names the column`() throws {
        let rows = Rows(try Self.result(["id", "head"], [["1", nil]])) {
            columns throws(PostgresError) in
            (try columns.next(Int64.self), try columns.next(Int64.self))
        }
        let text = Self.decodingError { _ = try rows.one() }
        #expect(text == "column head (1) of row 0: NULL where an integer is needed")
    }

    @Test func `a value of another form is an error that names the column`() throws {
        let rows = Rows(try Self.result(["id"], [["one"]])) { columns throws(PostgresError) in
            try columns.next(Int32.self)
        }
        let text = Self.decodingError { _ = try rows.one() }
        #expect(text == "column id (0) of row 0: not a 32-bit integer")
    }

    @Test func `a decoder that reads more columns than there are gets an error`() throws {
        let rows = Rows(try Self.result(["id"], [["1"]])) { columns throws(PostgresError) in
            (try columns.next(Int64.self), try columns.next(Int64?.self))
        }
        let text = Self.decodingError { _ = try rows.one() }
        #expect(text == "a row of 1 columns: its decoder reads more")
    }

    @Test func `a decoder that leaves columns unread gets an error, unless it skips them`() throws {
        let result = try Self.result(["id", "head", "floor"], [["1", "2", "3"]])
        let short = Rows(result) { columns throws(PostgresError) in try columns.next(Int64.self) }
        let text = Self.decodingError { _ = try short.one() }
        #expect(text == "a row of 3 columns: its decoder reads 1")
        let skipping = Rows(result) { columns throws(PostgresError) in
            try columns.skip()
            let head = try columns.next(Int64.self)
            columns.skipRest()
            return head
        }
        #expect(try skipping.one() == 2)
    }

    @Test func `no row is an error only where one is needed`() throws {
        let rows = Rows(try Self.result(["id"])) { columns throws(PostgresError) in
            try columns.next(Int64.self)
        }
        #expect(rows.isEmpty)
        #expect(try rows.first() == nil)
        let text = Self.decodingError { _ = try rows.one() }
        #expect(text == "an answer without the row that is needed")
    }

    private struct Probe: TypedStatement {
        static let statement = Statement(
            name: "probe", sql: "SELECT $1, $2", parameters: [.int8, .text])
        let id: Int64
        let name: String?

        func bind(to bindings: inout Bindings) {
            bindings.bind(id)
            bindings.bind(name)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Int64 {
            try columns.next(Int64.self)
        }
    }

    @Test func `a typed statement binds its own values`() {
        let command = Command(Probe(id: 7, name: nil))
        #expect(command.statement == Probe.statement)
        #expect(command.bindings.count == 2)
        #expect(command.flaw == nil)
    }

    @Test func `a ticket reads the rows of its own command, and another pipeline's is refused`()
        throws
    {
        var pipeline = Pipeline()
        pipeline.add(Statement(name: "begin", sql: "BEGIN"))
        let ticket = pipeline.add(Probe(id: 1, name: "ann"))
        #expect(pipeline.commands.map(\.statement.name) == ["begin", "probe"])
        let begin = try Self.result([], statement: "begin")
        let results = PipelineResults([begin, try Self.result(["id"], [["5"]])])
        #expect(try results[ticket].one() == 5)
        for others in [[begin], [begin, begin]] {
            #expect(throws: PostgresError.self) {
                _ = try PipelineResults(others)[ticket]
            }
        }
    }
}
