import LocalPostgres
import Postgres
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing

@Suite struct PoolTests {
    @Test func manyTasksShareFewConnections() async throws {
        try await withPool(maximum: 3) { pool in
            let backends = try await withThrowingTaskGroup(of: Int32?.self) { group in
                for _ in 0..<60 {
                    group.addTask {
                        try await pool.withConnection { connection in
                            _ = try await connection.run(command("SELECT pg_sleep(0.001)"))
                            return connection.backendProcess
                        }
                    }
                }
                return try await group.reduce(into: Set<Int32?>()) { $0.insert($1) }
            }
            #expect(backends.count <= 3)
            #expect(pool.statistics.inUse == 0)
            #expect(pool.statistics.waiting == 0)
        }
    }

    @Test func aWaiterFailsByItsDeadlineAndTheQueueIsBounded() async throws {
        try await withPool(maximum: 1, waiters: 1) { pool in
            try await pool.withConnection { _ in
                let hasty = await postgresError {
                    try await pool.withConnection(deadline: .now + .milliseconds(30)) { _ in }
                }
                #expect(hasty?.kind == .deadlineExceeded)
                await withTaskGroup(of: Void.self) { group in
                    group.addTask {
                        let error = await postgresError { try await pool.withConnection { _ in } }
                        #expect(error?.kind == .cancelled)
                    }
                    while pool.statistics.waiting == 0 { await Task.yield() }
                    let refused = await postgresError { try await pool.withConnection { _ in } }
                    #expect(refused?.kind == .poolExhausted)
                    group.cancelAll()
                }
            }
            try await pool.withConnection { _ in }
        }
    }

    @Test func aTransactionThatWasLeftOpenIsRolledBackBeforeTheNextBorrower() async throws {
        try await withPool(maximum: 1) { pool in
            let first = try await pool.withConnection { connection in
                try await connection.execute(script: "CREATE TABLE t ()")
                _ = try await connection.run([command("BEGIN"), command("DROP TABLE t")])
                return connection.backendProcess
            }
            try await pool.withConnection { connection in
                #expect(!connection.isInTransaction)
                #expect(connection.backendProcess == first)
                let found = try await connection.run(
                    command("SELECT to_regclass('t') IS NOT NULL"))
                #expect(try found.bool(0, 0))
            }
        }
    }

    @Test func aCancelledBorrowersTransactionIsRolledBackToo() async throws {
        try await withPool(maximum: 1) { pool in
            await withTaskGroup(of: Void.self) { group in
                let (began, beginning) = AsyncStream<Void>.makeStream()
                group.addTask {
                    let error = await postgresError {
                        try await pool.withConnection { connection in
                            _ = try await connection.run(command("BEGIN"))
                            beginning.yield()
                            _ = try await connection.run(command("SELECT pg_sleep(60)"))
                        }
                    }
                    #expect(error?.kind == .cancelled)
                }
                for await _ in began { break }
                group.cancelAll()
            }
            try await pool.withConnection { #expect(!$0.isInTransaction) }
        }
    }

    @Test func aConnectionWhoseBackendDiedIsReplaced() async throws {
        try await withPool(maximum: 1) { pool in
            let first = try await pool.withConnection { $0.backendProcess }
            let backend = try #require(first)
            #expect(sendSignal(backend, .terminate))
            // Seen by the poller while idle, or by the first borrower.
            var second: Int32?
            while second == nil {
                second = try? await pool.withConnection { connection in
                    try await connection.run(command("SELECT pg_backend_pid()")).int32(0, 0)
                }
            }
            #expect(second != first)
        }
    }

    @Test func waitersOutliveARestartOfTheServer() async throws {
        try await TestDatabase.withCluster { cluster in
            let configuration = try PostgresConfiguration(url: cluster.connectionURL())
            let pool = PostgresPool(
                configuration,
                pool: try PoolConfiguration(
                    maximumConnections: 2, acquireTimeout: .seconds(60),
                    outageBridge: .seconds(60)),
                logger: quiet)
            try await pool.withConnection { _ = try await $0.run(command("SELECT 1")) }
            // server: ── kill -9 ─────────── start
            // waiter:            └ waits ────────── served
            try await cluster.kill()
            #expect(!cluster.isRunning)
            while pool.statistics.idle > 0 { await Task.yield() }
            try await withThrowingTaskGroup(of: Int32.self) { group in
                group.addTask {
                    try await pool.withConnection {
                        try await $0.run(command("SELECT 5")).int32(0, 0)
                    }
                }
                while pool.statistics.waiting == 0 { await Task.yield() }
                try await cluster.start()
                #expect(try await group.next() == 5)
            }
        }
    }

    @Test func shuttingDownWaitsForBorrowersAndRefusesNewOnes() async throws {
        try await TestDatabase.withDatabase { url in
            let pool = PostgresPool(
                try PostgresConfiguration(url: url),
                pool: try PoolConfiguration(minimumConnections: 2, maximumConnections: 3),
                logger: quiet)
            let group = ServiceGroup(services: [pool], logger: quiet)
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { try await group.run() }
                while pool.statistics.idle < 2 { await Task.yield() }
                try await pool.withConnection { connection in
                    await group.triggerGracefulShutdown()
                    var error: PostgresError?
                    while error == nil {
                        error = await postgresError { try await pool.withConnection { _ in } }
                    }
                    #expect(error?.kind == .poolClosed)
                    try await expectUsable(connection)
                }
                try await tasks.waitForAll()
            }
            #expect(pool.statistics == PoolStatistics(maximum: 3))
        }
    }

    @Test func theObserverSeesWhatHappens() async throws {
        let observer = Recorder()
        try await withPool(maximum: 1, observer: observer) { pool in
            try await pool.withConnection { _ = try await $0.run(command("BEGIN")) }
            try await pool.withConnection { _ in }
        }
        let kinds = observer.events.withLock { $0 }
        #expect(kinds == ["opened", "acquired", "rolledBack", "acquired"])
    }

    private func withPool(
        maximum: Int, waiters: Int = 100, observer: (any PoolObserver)? = nil,
        _ body: (PostgresPool) async throws -> Void
    ) async throws {
        try await TestDatabase.withDatabase { url in
            let configuration = try PoolConfiguration(
                maximumConnections: maximum, maximumWaiters: waiters,
                acquireTimeout: .seconds(30))
            let pool = PostgresPool(
                try PostgresConfiguration(url: url), pool: configuration, logger: quiet,
                observer: observer)
            try await body(pool)
        }
    }
}

/// Remembers the kinds of events in their order.
private final class Recorder: PoolObserver {
    let events = Mutex<[String]>([])

    func poolDid(_ event: PoolEvent) {
        let name =
            switch event {
            case .opened: "opened"
            case .openFailed: "openFailed"
            case .acquired: "acquired"
            case .refused: "refused"
            case .rolledBack: "rolledBack"
            case .lost: "lost"
            case .closed: "closed"
            }
        events.withLock { $0.append(name) }
    }
}
