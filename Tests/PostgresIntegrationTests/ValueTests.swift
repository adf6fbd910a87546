import Postgres
import Testing

@Suite struct ValueTests {
    @Test(arguments: [ResultFormat.text, .binary])
    func valuesOfEveryTypeReturnAsTheyWereSent(format: ResultFormat) async throws {
        let statement = Statement(
            name: "round_trip", sql: "SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9",
            parameters: [.int8, .int4, .int2, .bool, .float8, .text, .bytea, .json, .uuid],
            results: format)
        let json = Array(#"{"big": 12345678901234567890.10, "a":1,"a":2}"#.utf8)
        var bindings = Bindings(reserving: 9, bytes: 200)
        bindings.bind(Int64.min)
        bindings.bind(Int32.max)
        bindings.bind(Int16(-2))
        bindings.bind(true)
        bindings.bind(-0.1)
        bindings.bind("grün 🌱")
        bindings.bind(bytes: [0, 255, 10])
        bindings.bind(bytes: json)
        bindings.bind(bytes: [UInt8](0..<16))
        try await withConnection { connection in
            let row = try await connection.run(Command(statement, bindings))
            #expect(try row.int64(0, 0) == .min)
            #expect(try row.int32(0, 1) == .max)
            #expect(try row.int16(0, 2) == -2)
            #expect(try row.bool(0, 3))
            #expect(try row.double(0, 4) == -0.1)
            #expect(try row.string(0, 5) == "grün 🌱")
            #expect(try row.bytea(0, 6) == [0, 255, 10])
            #expect(row.withBytes(0, 7) { $0.map(Array.init) } == json)
            let uuid = row.withBytes(0, 8) { $0.map(Array.init) }
            let text = Array("00010203-0405-0607-0809-0a0b0c0d0e0f".utf8)
            #expect(uuid == (format == .text ? text : [UInt8](0..<16)))
        }
    }

    @Test func nullsAndEmptyValuesAreToldApart() async throws {
        let statement = Statement(
            name: "nulls", sql: "SELECT $1, $2, $3, $4", parameters: [.text, .text, .int8, .bytea])
        var bindings = Bindings()
        bindings.bind("")
        bindings.bind(nil as String?)
        bindings.bind(nil as Int64?)
        bindings.bind(bytes: [UInt8]())
        try await withConnection { connection in
            let row = try await connection.run(Command(statement, bindings))
            #expect(try row.optionalString(0, 0) == "")
            #expect(try row.optionalString(0, 1) == nil)
            #expect(try row.optionalInt64(0, 2) == nil)
            #expect(try row.optionalBytea(0, 3) == [])
        }
    }

    @Test func timesAndJsonbReachTheServer() async throws {
        let statement = Statement(
            name: "times", sql: "SELECT $1 = 'epoch'::timestamptz + interval '1.5 s', $2 -> 'a'",
            parameters: [.timestamptz, .jsonb])
        var bindings = Bindings()
        bindings.bind(microsecondsSince1970: 1_500_000)
        bindings.bind(jsonb: Array(#"{"a": [1]}"#.utf8))
        try await withConnection { connection in
            let row = try await connection.run(Command(statement, bindings))
            #expect(try row.bool(0, 0))
            #expect(try row.string(0, 1) == "[1]")
        }
    }

    @Test func arraysUnnestIntoTheirElements() async throws {
        let statement = Statement(
            name: "arrays",
            sql: """
                SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8)
                AS t (a, b, c, d, e, f, g, h)
                """,
            parameters: [
                .int8Array, .textArray, .jsonArray, .charArray, .byteaArray, .boolArray,
                .uuidArray, .jsonbArray,
            ])
        var bindings = Bindings()
        bindings.bind(filled(.int8) { $0.append(Int64.max) })
        bindings.bind(filled(.text) { $0.append("ein \"Wort\", {noch} eins") })
        bindings.bind(filled(.json) { $0.append(bytes: Array(#"{"x" : 1e400}"#.utf8)) })
        bindings.bind(filled(.char) { $0.append(char: UInt8(ascii: "U")) })
        bindings.bind(filled(.bytea) { $0.append(bytes: [1, 0, 2]) })
        bindings.bind(filled(.bool) { $0.append(true) })
        bindings.bind(filled(.uuid) { $0.append(bytes: [UInt8](repeating: 17, count: 16)) })
        bindings.bind(filled(.jsonb) { $0.append("[ 1 ]") })
        try await withConnection { connection in
            let rows = try await connection.run(Command(statement, bindings))
            #expect(rows.rowCount == 2)
            #expect(try rows.int64(0, 0) == .max)
            #expect(try rows.string(0, 1) == "ein \"Wort\", {noch} eins")
            #expect(try rows.string(0, 2) == #"{"x" : 1e400}"#)
            #expect(try rows.char(0, 3) == UInt8(ascii: "U"))
            #expect(try rows.bytea(0, 4) == [1, 0, 2])
            #expect(try rows.bool(0, 5))
            #expect(try rows.string(0, 6) == "11111111-1111-1111-1111-111111111111")
            #expect(try rows.string(0, 7) == "[1]")
            for column in 0..<rows.columnCount { #expect(rows.isNull(1, column)) }
        }
    }

    @Test func anEmptyArrayIsNotNull() async throws {
        let statement = Statement(
            name: "empty", sql: "SELECT $1 = '{}'", parameters: [.int8Array])
        var bindings = Bindings()
        bindings.bind(ArrayBinding(of: .int8))
        try await withConnection { connection in
            let row = try await connection.run(Command(statement, bindings))
            #expect(try row.bool(0, 0))
        }
    }

    @Test func aValueOfAnotherFormIsAnErrorThatNamesTheColumn() async throws {
        try await withConnection { connection in
            let row = try await connection.run(command("SELECT 'x' AS word, NULL AS nothing"))
            let wrong = await postgresError { _ = try row.int64(0, 0) }
            #expect(wrong?.kind == .decoding("column word (0) of row 0: not an integer"))
            let null = await postgresError { _ = try row.string(0, 1) }
            #expect(
                null?.kind
                    == .decoding(
                        "column nothing (1) of row 0: NULL where UTF-8 text is needed"))
        }
    }

    /// An array of one value and a NULL.
    private func filled(
        _ type: PostgresType, _ append: (inout ArrayBinding) -> Void
    ) -> ArrayBinding {
        var array = ArrayBinding(of: type, reserving: 2)
        append(&array)
        array.appendNull()
        return array
    }
}
