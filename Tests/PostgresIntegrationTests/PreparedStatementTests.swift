import Postgres
import Testing

@Suite struct PreparedStatementTests {
    private let names = command("SELECT name FROM pg_prepared_statements ORDER BY prepare_time")

    @Test func onlyTheMostRecentlyUsedStayPrepared() async throws {
        try await withConnection({ $0.maximumPreparedStatements = 3 }) { connection in
            for number in 0..<20 {
                let statement = Statement(name: "n\(number)", sql: "SELECT \(number)")
                #expect(try await connection.run(Command(statement)).int32(0, 0) == Int32(number))
                _ = try await connection.run(names)
            }
            let prepared = try await connection.run(names)
            // After a `~` comes what distinguishes a name's later statement from its earlier one.
            let found = try (0..<prepared.rowCount).map { row in
                String(try prepared.string(row, 0).prefix { $0 != "~" })
            }
            #expect(found.contains("n19") && !found.contains("n0"))
            #expect(found.count <= 4)
        }
    }

    @Test func nothingIsPreparedByNameBehindATransactionPooler() async throws {
        try await withConnection({ $0.usesNamedStatements = false }) { connection in
            _ = try await connection.run([command("SELECT 1"), command("SELECT 2")])
            #expect(try await connection.run(names).rowCount == 0)
        }
    }

    @Test func aPipelineThatFailsBeforeOrAfterAParseLeavesTheTruth() async throws {
        let early = command("SELECT 'early'")
        let late = command("SELECT 'late'")
        try await withConnection { connection in
            let error = await postgresError {
                _ = try await connection.run([early, command("SELECT 1/0"), late])
            }
            #expect(error?.commandIndex == 1)
            // `early` exists on the server, `late` does not; using both shows that this is known.
            let results = try await connection.run([late, early, late])
            #expect(try results.map { try $0.string(0, 0) } == ["late", "early", "late"])
        }
    }

    @Test func aStatementThatDoesNotParseIsPreparedOnceItsTableExists() async throws {
        let read = command("SELECT * FROM t")
        try await withConnection { connection in
            let error = await postgresError { try await connection.run(read) }
            #expect(error?.sqlState == .undefinedTable)
            #expect(error?.commandIndex == 0)
            try await connection.execute(script: "CREATE TABLE t (a int)")
            #expect(try await connection.run(read).columnCount == 1)
        }
    }

    @Test func aPlanThatNoLongerFitsItsTableIsTransientAndPreparedAnew() async throws {
        let read = command("SELECT * FROM t")
        try await withConnection { connection in
            try await connection.execute(script: "CREATE TABLE t (a int)")
            _ = try await connection.run(read)
            try await connection.execute(script: "ALTER TABLE t ADD b text")
            let error = await postgresError { try await connection.run(read) }
            #expect(error?.sqlState == .featureNotSupported)
            #expect(error?.isTransient == true)
            #expect(try await connection.run(read).columnCount == 2)
            let left = try await connection.run(
                command("SELECT 1 FROM pg_prepared_statements WHERE statement LIKE '%FROM t'"))
            #expect(left.rowCount == 1)
        }
    }

    @Test func aStatementThatSomebodyDeallocatedIsTransientAndPreparedAnew() async throws {
        let one = command("SELECT 1")
        try await withConnection { connection in
            _ = try await connection.run(one)
            try await connection.execute(script: "DEALLOCATE ALL")
            let error = await postgresError { try await connection.run(one) }
            #expect(error?.sqlState == .invalidStatementName)
            #expect(error?.isTransient == true)
            #expect(try await connection.run(one).int32(0, 0) == 1)
        }
    }

    @Test func whoRemovesAllStatementsCostsTwoTransactionsAndNoMore() async throws {
        let commands = ["SELECT 1", "DEALLOCATE ALL", "SELECT 2", "SELECT 3"].map { command($0) }
        try await withConnection { connection in
            var failures = 0
            for _ in 1...10 {
                for command in commands {
                    let error = await postgresError { _ = try await connection.run(command) }
                    guard let error else { continue }
                    #expect(error.sqlState == .invalidStatementName)
                    failures += 1
                }
            }
            #expect(failures == 2)
        }
    }

    @Test func aSessionThatEndsNamesTheStatementThatItWasAt() async throws {
        try await withConnection { connection in
            let error = await postgresError {
                _ = try await connection.run([
                    Command(Statement(name: "before", sql: "SELECT 1")),
                    Command(
                        Statement(
                            name: "last",
                            sql: "SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(60)")),
                    Command(Statement(name: "after", sql: "SELECT 2")),
                ])
            }
            #expect(error?.kind == .connectionLost)
            #expect(error?.statementName == "last")
            #expect(error?.commandIndex == 1)
            let closed = await postgresError { _ = try await connection.run(command("SELECT 1")) }
            #expect(closed?.kind == .connectionLost)
        }
    }

    @Test func oneNameForTwoTextsIsRefused() async throws {
        try await withConnection { connection in
            try await connection.run(Command(Statement(name: "same", sql: "SELECT 1")))
            let error = await postgresError {
                try await connection.run(Command(Statement(name: "same", sql: "SELECT 2")))
            }
            #expect(error?.kind == .misuse("two statements share a name"))
            #expect(!connection.isClosed)
        }
    }
}
