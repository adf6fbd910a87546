import Postgres
import Testing

@Suite struct CommandTests {
    @Test func aPipelineReturnsItsResultsInOrder() async throws {
        try await withConnection { connection in
            let results = try await connection.run([
                command("SELECT 1"), command("SELECT 'zwei'"), command("SELECT true"),
            ])
            #expect(try results[0].int32(0, 0) == 1)
            #expect(try results[1].string(0, 0) == "zwei")
            #expect(try results[2].bool(0, 0))
        }
    }

    @Test(arguments: [true, false])
    func anErrorNamesItsCommandAndLeavesTheConnectionUsable(named: Bool) async throws {
        try await withConnection({ $0.usesNamedStatements = named }) { connection in
            try await connection.execute(script: "CREATE TABLE t (id int PRIMARY KEY)")
            let error = await postgresError {
                _ = try await connection.run([
                    command("INSERT INTO t VALUES (1)"), command("SELECT 1/0"),
                    command("INSERT INTO t VALUES (2)"),
                ])
            }
            #expect(error?.sqlState == SQLState(rawValue: "22012"))
            #expect(error?.commandIndex == 1)
            #expect(error?.statementName == command("SELECT 1/0").statement.name)
            #expect(error?.isDataTrouble == true)
            let count = try await connection.run(command("SELECT count(*) FROM t"))
            #expect(try count.int64(0, 0) == 0)
            try await connection.run(command("INSERT INTO t VALUES (2)"))
        }
    }

    @Test func aFailedTransactionIsRolledBackByStatementsThatWereNotPreparedBefore() async throws {
        try await withConnection { connection in
            let error = await postgresError {
                _ = try await connection.run([command("BEGIN"), command("SELECT 1/0")])
            }
            #expect(error?.commandIndex == 1)
            #expect(connection.isInTransaction)
            try await connection.run(command("ROLLBACK"))
            #expect(!connection.isInTransaction)
        }
    }

    @Test func aDeferredConstraintThatFailsAtTheEndOfAPipelineIsReported() async throws {
        try await withConnection { connection in
            try await connection.execute(
                script: """
                    CREATE TABLE t (id int, CONSTRAINT once UNIQUE (id) DEFERRABLE INITIALLY DEFERRED)
                    """)
            let error = await postgresError {
                _ = try await connection.run([
                    command("INSERT INTO t VALUES (1)"), command("INSERT INTO t VALUES (1), (2)"),
                ])
            }
            #expect(error?.sqlState == .uniqueViolation)
            #expect(error?.serverError?.constraint == "once")
            #expect(error?.serverError?.table == "t")
            #expect(error?.commandIndex == 1)
            let count = try await connection.run(command("SELECT count(*) FROM t"))
            #expect(try count.int64(0, 0) == 0)
        }
    }

    @Test func affectedRowsAreCounted() async throws {
        try await withConnection { connection in
            try await connection.execute(script: "CREATE TABLE t AS SELECT generate_series(1, 7)")
            #expect(try await connection.run(command("DELETE FROM t")).affectedRows == 7)
            #expect(try await connection.run(command("BEGIN")).affectedRows == 0)
        }
    }

    @Test func aScriptOfSeveralStatementsIsOneTransaction() async throws {
        try await withConnection { connection in
            let error = await postgresError {
                try await connection.execute(script: "CREATE TABLE a (); SELECT 1/0")
            }
            #expect(error?.sqlState == SQLState(rawValue: "22012"))
            let found = try await connection.run(command("SELECT to_regclass('a') IS NULL"))
            #expect(try found.bool(0, 0))
        }
    }

    @Test func aStatementIsDescribedWithoutBeingExecuted() async throws {
        try await withConnection { connection in
            let statement = Statement(
                name: "d", sql: "SELECT $1 AS a, now() AS b, $2::jsonb AS c", parameters: [.int8])
            let description = try await connection.describe(statement)
            #expect(description.parameters == [.int8, .jsonb])
            #expect(description.columns.map(\.name) == ["a", "b", "c"])
            #expect(description.columns.map(\.type) == [.int8, .timestamptz, .jsonb])
            let error = await postgresError {
                _ = try await connection.describe(Statement(name: "e", sql: "SELECT nothing"))
            }
            #expect(error?.statementName == "e")
            #expect(error?.sqlState == SQLState(rawValue: "42703"))
            _ = try await connection.describe(statement)
        }
    }

    @Test func aSecondTaskOnOneConnectionIsRefusedAndHarmsNothing() async throws {
        try await withConnection { connection in
            // first:  ── pg_sleep ───────────────────── row
            // second:       └ refused
            async let first = connection.run(command("SELECT pg_sleep(0.3)"))
            await untilBusy(connection)
            let error = await postgresError { try await connection.run(command("SELECT 1")) }
            guard case .misuse = error?.kind else { return #expect(Bool(false), "\(error as Any)") }
            let rows = try await first.rowCount
            #expect(rows == 1)
            try await expectUsable(connection)
        }
    }

    @Test func settingsHoldInEverySession() async throws {
        for delivery in [
            PostgresConfiguration.SettingsDelivery.startupOptions, .afterConnect,
        ] {
            let change = { @Sendable (configuration: inout PostgresConfiguration) in
                configuration.settingsDelivery = delivery
                configuration.sessionSettings = [
                    "statement_timeout": "1234ms", "search_path": #"a, "it's \ b""#,
                ]
            }
            try await withConnection(change) { connection in
                let timeout = try await connection.run(command("SHOW statement_timeout"))
                #expect(try timeout.string(0, 0) == "1234ms")
                let path = try await connection.run(command("SHOW search_path"))
                #expect(try path.string(0, 0) == #"a, "it's \ b""#)
                let name = try await connection.run(command("SHOW application_name"))
                #expect(try name.string(0, 0) == "tests")
            }
        }
    }
}
