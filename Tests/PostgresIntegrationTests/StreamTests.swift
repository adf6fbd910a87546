import Postgres
import Testing

@Suite struct StreamTests {
    private struct Enough: Error {}

    @Test func aPipelineOfTwentyMegabytesBothWaysDoesNotDeadlock() async throws {
        let statement = Statement(name: "echo", sql: "SELECT $1", parameters: [.bytea])
        let piece = [UInt8]((0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
        var bindings = Bindings(reserving: 1, bytes: piece.count)
        bindings.bind(bytes: piece)
        let commands = [Command](repeating: Command(statement, bindings), count: 20)
        try await withConnection { connection in
            let results = try await connection.run(commands)
            #expect(results.count == 20)
            for result in results { #expect(try result.bytea(0, 0) == piece) }
        }
    }

    @Test func rowsAreStreamedInOrder() async throws {
        try await withConnection { connection in
            var expected: Int64 = 1
            try await connection.stream(command("SELECT generate_series(1, 20000)")) { row in
                let number = try row.int64(0)
                #expect(number == expected)
                expected += 1
            }
            #expect(expected == 20_001)
            try await expectUsable(connection)
        }
    }

    @Test func aStreamThatIsGivenUpLeavesTheConnectionUsable() async throws {
        try await withConnection { connection in
            await #expect(throws: Enough.self) {
                try await connection.stream(command("SELECT generate_series(1, 100000000)")) {
                    row in
                    if try row.int64(0) == 1000 { throw Enough() }
                }
            }
            #expect(!connection.isClosed)
            try await expectUsable(connection)
        }
    }

    @Test(arguments: [1, 9, 40])
    func aStreamOfLargeRowsIsGivenUpAtAnyOfThem(last: Int) async throws {
        try await withConnection { connection in
            var seen = 0
            await #expect(throws: Enough.self) {
                try await connection.stream(
                    command("SELECT repeat('x', 1000000) FROM generate_series(1, 1000)")
                ) { row in
                    seen += 1
                    if seen == last { throw Enough() }
                }
            }
            #expect(seen == last)
            #expect(!connection.isClosed)
            try await expectUsable(connection)
        }
    }

    @Test func aStatementThatIsPreparedAlreadyComesWholeAfterAStream() async throws {
        try await withConnection { connection in
            let known = Command(
                Statement(name: "known", sql: "SELECT n FROM generate_series(1, 5) n"))
            for last in [1, 3] {
                #expect(try await connection.run([known, known])[0].rowCount == 5)
                try? await connection.stream(command("SELECT generate_series(1, 3)")) { row in
                    if try row.int64(0) == last { throw Enough() }
                }
            }
            #expect(try await connection.run([known, known])[0].rowCount == 5)
            try await expectUsable(connection)
        }
    }

    @Test(arguments: [2, 100])
    func aStreamOfLargeRowsIsReadToItsEnd(count: Int) async throws {
        try await withConnection { connection in
            var seen = 0
            try await connection.stream(
                command("SELECT repeat('x', 1000000) FROM generate_series(1, \(count))")
            ) { _ in seen += 1 }
            #expect(seen == count)
            try await expectUsable(connection)
        }
    }

    @Test func anErrorAfterSomeRowsEndsTheStream() async throws {
        try await withConnection { connection in
            var seen = 0
            let error = await postgresError {
                let failing = command("SELECT 10 / (1000 - n) FROM generate_series(1, 2000) n")
                try await connection.stream(failing) { _ in seen += 1 }
            }
            #expect(error?.sqlState == SQLState(rawValue: "22012"))
            #expect(seen <= 999)
            try await expectUsable(connection)
        }
    }

    @Test func copiedRowsComeBack() async throws {
        try await withConnection { connection in
            try await connection.execute(script: "CREATE TABLE t (id int, word text)")
            var sent = 0
            let count = try await connection.copyIn("COPY t FROM STDIN") {
                if sent == 5000 { return nil }
                defer { sent += 500 }
                return (sent..<sent + 500).flatMap { Array("\($0)\tword \($0)\n".utf8) }
            }
            #expect(count == 5000)
            var lines: [String] = []
            try await connection.copyOut("COPY (SELECT * FROM t ORDER BY id) TO STDOUT") {
                lines.append(String(decoding: $0, as: UTF8.self))
            }
            #expect(lines.count == 5000)
            #expect(lines.last == "4999\tword 4999\n")
            try await expectUsable(connection)
        }
    }

    @Test func aCopyThatIsGivenUpCopiesNothing() async throws {
        try await withConnection { connection in
            try await connection.execute(script: "CREATE TABLE t (id int)")
            var pieces = 0
            await #expect(throws: Enough.self) {
                _ = try await connection.copyIn("COPY t FROM STDIN") {
                    pieces += 1
                    if pieces == 3 { throw Enough() }
                    return Array("1\n".utf8)
                }
            }
            let count = try await connection.run(command("SELECT count(*) FROM t"))
            #expect(try count.int64(0, 0) == 0)
        }
    }

    @Test func badRowsAndWrongStatementsAreErrorsOfACopy() async throws {
        try await withConnection { connection in
            try await connection.execute(script: "CREATE TABLE t (id int)")
            var isSent = false
            let bad = await postgresError {
                _ = try await connection.copyIn("COPY t FROM STDIN") {
                    defer { isSent = true }
                    return isSent ? nil : Array("word\n".utf8)
                }
            }
            #expect(bad?.isDataTrouble == true)
            let missing = await postgresError {
                _ = try await connection.copyIn("COPY missing FROM STDIN") { nil }
            }
            #expect(missing?.sqlState == .undefinedTable)
            try await expectUsable(connection)
        }
    }

    @Test func aCopyOutThatIsGivenUpLeavesTheConnectionUsable() async throws {
        try await withConnection { connection in
            await #expect(throws: Enough.self) {
                let all = "COPY (SELECT generate_series(1, 100000000)) TO STDOUT"
                try await connection.copyOut(all) { _ in throw Enough() }
            }
            #expect(!connection.isClosed)
            try await expectUsable(connection)
        }
    }
}
