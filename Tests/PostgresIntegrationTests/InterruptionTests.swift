import Postgres
import TestSupport
import Testing

@Suite struct CommandInterruptionTests {
    @Test func cancellingTheTaskStopsTheCommandAndKeepsTheConnection() async throws {
        try await withConnection { connection in
            // task:   ── pg_sleep(60) ──┐ cancelled ── PQcancel ── 57014 ── next command
            let began = ContinuousClock.now
            let error = await withTaskGroup(of: PostgresError?.self) { group in
                group.addTask {
                    await postgresError { try await connection.run(command("SELECT pg_sleep(60)")) }
                }
                await untilBusy(connection)
                group.cancelAll()
                return await group.next() ?? nil
            }
            #expect(error?.kind == .cancelled)
            #expect(error?.commandIndex == 0)
            #expect(ContinuousClock.now - began < .seconds(30))
            try await expectUsable(connection)
        }
    }

    @Test func aTaskThatIsCancelledAlreadySendsNothing() async throws {
        try await withConnection { connection in
            let error = await withTaskGroup(of: PostgresError?.self) { group in
                group.cancelAll()
                group.addTask {
                    await postgresError {
                        try await connection.execute(script: "CREATE TABLE never ()")
                    }
                }
                return await group.next() ?? nil
            }
            #expect(error?.kind == .cancelled)
            let found = try await connection.run(command("SELECT to_regclass('never') IS NULL"))
            #expect(try found.bool(0, 0))
        }
    }

    @Test func aDeadlineStopsACommandInTheMiddleOfAPipeline() async throws {
        try await withConnection { connection in
            let deadline = ContinuousClock.now + .milliseconds(50)
            let error = await postgresError {
                _ = try await connection.run(
                    [command("SELECT 1"), command("SELECT pg_sleep(60)"), command("SELECT 2")],
                    deadline: deadline)
            }
            #expect(error?.kind == .deadlineExceeded)
            #expect(error?.commandIndex == 1)
            #expect(ContinuousClock.now >= deadline)
            #expect(!connection.isClosed)
            try await expectUsable(connection)
        }
    }

    @Test func aCancelRequestNeverHitsALaterCommand() async throws {
        try await withConnection { connection in
            for round in 0..<200 {
                // The deadline falls before, into or after the command.
                let deadline = ContinuousClock.now + .microseconds(round * 20)
                let first = await postgresError {
                    try await connection.run(
                        command("SELECT pg_sleep(0.002)"), deadline: deadline)
                }
                #expect(first == nil || first?.kind == .deadlineExceeded)
                try await expectUsable(connection)
            }
        }
    }

    @Test(arguments: [Duration.seconds(2), .milliseconds(100)])
    func aServerThatDoesNotAnswerLosesTheConnectionAfterTheGracePeriod(
        grace: Duration
    ) async throws {
        try await withConnection {
            $0.interruptionGrace = grace
        } _: { connection in
            // The backend cannot see the cancel request while it is stopped.
            let backend = try #require(connection.backendProcess)
            #expect(sendSignal(backend, .stop))
            defer { _ = sendSignal(backend, .goOn) }
            let start = ContinuousClock.now
            let error = await postgresError {
                try await connection.run(
                    command("SELECT 1"), deadline: .now + .milliseconds(20))
            }
            #expect(error?.kind == .deadlineExceeded)
            #expect(connection.isClosed)
            #expect(.now - start >= grace)
            #expect(grace == .seconds(2) || .now - start < .seconds(2))
            let next = await postgresError { try await connection.run(command("SELECT 1")) }
            #expect(next != nil)
        }
    }

    @Test func aBackendThatIsTerminatedEndsTheCommand() async throws {
        try await withConnection { connection in
            let backend = try #require(connection.backendProcess)
            let error = await withTaskGroup(of: PostgresError?.self) { group in
                group.addTask {
                    await postgresError { try await connection.run(command("SELECT pg_sleep(60)")) }
                }
                await untilBusy(connection)
                #expect(sendSignal(backend, .terminate))
                return await group.next() ?? nil
            }
            #expect(error?.isTransient == true)
            #expect(connection.isClosed)
        }
    }

    @Test func connectingToAServerThatSaysNothingFailsInTime() async throws {
        try await withSilentServer { directory in
            var configuration = PostgresConfiguration(
                keywords: ["host": directory, "dbname": "x", "user": "x"])
            configuration.connectTimeout = .milliseconds(50)
            let error = await postgresError {
                _ = try await PostgresConnection.connect(configuration, logger: quiet)
            }
            #expect(error?.kind == .connectFailed("timed out"))
        }
    }

    @Test func connectingToNowhereNamesThePlaceAndNoPassword() async throws {
        let configuration = PostgresConfiguration(
            keywords: ["host": "/nonexistent", "dbname": "x", "user": "x", "password": "hidden"])
        let error = await postgresError {
            _ = try await PostgresConnection.connect(configuration, logger: quiet)
        }
        let text = error.map { "\($0)" } ?? ""
        #expect(text.hasPrefix("connection failed: "))
        #expect(text.contains("/nonexistent"))
        #expect(!text.contains("hidden"))
    }
}
