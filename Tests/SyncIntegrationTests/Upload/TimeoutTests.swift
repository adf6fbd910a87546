import DatabaseKit
import Foundation
import Model
import NIOCore
import Postgres
import RPC
import ServiceKit
import Sidecar
import Synchronization
import Testing
@testable import UploadService

/// Each wait of an upload is bounded; when a bound is met the device is asked to come back and nothing is half
/// done.
@Suite("Timeouts of uploads")
struct TimeoutTests {
    private static let statement = UploadTimeouts.statementSetting.key
    private static let scopeLock = UploadTimeouts.scopeLockSetting.key
    private static let rowLock = UploadTimeouts.businessLockSetting.key
    private static let idle = UploadTimeouts.idleSetting.key

    private static let batch =
        change(2, "INSERT", "notes", id("a2"), "{}") + ","
        + change(3, "UPDATE", "notes", id("a1"), base: 1, #"{"title":"y"}"#)

    /// Uploads what must fail for now: nothing of it may be there afterwards.
    private static func expectBusy(
        _ database: SyncedDatabase, _ changes: String = batch,
        with executor: UploadExecutor? = nil
    ) async throws {
        let before = try await everything(database)
        let failure = await #expect(throws: RPCFailure.self) {
            _ = try await (executor ?? database.executor).upload(
                ByteBuffer(string: #"{"changes":[\#(changes)]}"#),
                from: CallerIdentity(user: "ann", device: "phone"),
                deadline: .now + .seconds(60))
        }
        #expect(failure?.status == .unavailable)
        #expect(failure?.code == "unavailable")
        #expect(failure?.retryAfter.map { $0 > .zero } == true)
        #expect(try await everything(database) == before)
    }

    private static func everything(_ database: SyncedDatabase) async throws -> [String?] {
        var all: [String?] = []
        for table in [
            "s.notes", "s.items", "sync.scope", "sync.source", "sync.change_log", "sync.row_state",
            "sync.key_owner", "sync.materialize_failures",
        ] {
            all.append(
                try await database.value(
                    "SELECT string_agg(t::text, ';' ORDER BY t::text) FROM \(table) t"))
        }
        return all
    }

    /// ann has a note; what happens next is under the settings.
    private static func withNote(
        _ settings: [String: String], tables: String = "", registered yaml: String = "",
        _ body: (SyncedDatabase, PostgresConnection) async throws -> Void
    ) async throws {
        try await SyncedDatabase.with(tables: tables, registered: yaml, settings: settings) {
            database in
            try await database.upload("ann", change(1, "INSERT", "notes", id("a1"), "{}"))
            let other = try await SyncedDatabase.connect(database.url)
            defer { other.close() }
            try await body(database, other)
        }
    }

    @Test(
        "Another transaction holds the user's log: 503 after the lock timeout, and other users go on"
    )
    func scopeLocked() async throws {
        try await Self.withNote([Self.scopeLock: "30"]) { database, other in
            try await other.execute(
                script: "BEGIN; SELECT FROM sync.scope WHERE user_id = 'ann' FOR UPDATE")
            try await Self.expectBusy(database)
            #expect(
                try await database.outcomes("bob", change(1, "INSERT", "notes", id("b1"), "{}"))
                    == ["applied 1"])
            try await other.execute(script: "ROLLBACK")
            #expect(try await database.outcomes("ann", Self.batch) == ["applied 1", "applied 2"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Plain SQL holds a row: it alone is postponed, and taken when it is free")
    func rowLocked() async throws {
        try await Self.withNote([Self.rowLock: "20"]) { database, other in
            try await other.execute(script: "BEGIN; SELECT FROM s.notes FOR UPDATE")
            #expect(
                try await database.outcomes("ann", Self.batch)
                    == ["applied 1", "materialize_error 55P03"])
            // Nothing that an operator has to see to.
            #expect(
                try await database.value("SELECT count(*)::text FROM sync.materialize_failures")
                    == "0")
            try await other.execute(script: "ROLLBACK")
            #expect(try await database.outcomes("ann", Self.batch) == ["applied 1", "applied 2"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("The statement that reads is too slow: 503, as it is no row's fault")
    func slowReading() async throws {
        // The wait for the lock may be longer than a statement, so that it is the statement that ends.
        let settings = [Self.statement: "150", Self.scopeLock: "60000"]
        try await Self.withNote(settings) { database, other in
            try await other.execute(
                script: "BEGIN; SELECT FROM sync.scope WHERE user_id = 'ann' FOR UPDATE")
            try await Self.expectBusy(database)
            try await Self.expectBusy(database, change(9, "INSERT", "notes", id("a9"), "{}"))
            try await other.execute(script: "ROLLBACK")
            #expect(try await database.outcomes("ann", Self.batch) == ["applied 1", "applied 2"])
        }
    }

    @Test("The sidecar's own writes are too slow: 503, as it is no row's fault either")
    func slowSidecar() async throws {
        try await Self.withNote([Self.statement: "150"]) { database, other in
            try await other.execute(
                script: """
                    CREATE FUNCTION s.stall() RETURNS trigger LANGUAGE plpgsql AS $$
                    BEGIN PERFORM pg_sleep(30); RETURN NEW; END $$;
                    CREATE TRIGGER stall BEFORE INSERT ON sync.change_log
                        FOR EACH ROW EXECUTE FUNCTION s.stall()
                    """)
            try await Self.expectBusy(database, change(9, "INSERT", "notes", id("a9"), "{}"))
            try await Self.expectBusy(database)
            try await other.execute(script: "DROP TRIGGER stall ON sync.change_log")
            #expect(try await database.outcomes("ann", Self.batch) == ["applied 1", "applied 2"])
        }
    }

    @Test("A row that is too slow by itself is postponed alone")
    func slowRow() async throws {
        try await Self.withNote(
            [Self.statement: "150"], tables: PoisonTests.tables, registered: PoisonTests.yaml
        ) { database, _ in
            let answer = try await database.outcomes(
                "ann", change(2, "INSERT", "rows", id("a2"), #"{"wait":30}"#),
                change(3, "INSERT", "rows", id("a3"), "{}"))
            #expect(answer == ["materialize_error 57014", "applied 1"])
            #expect(
                try await database.value("SELECT count(*)::text FROM sync.materialize_failures")
                    == "0")
        }
    }

    // service:    reads ─────── writes …kept back by the proxy
    // PostgreSQL:        idle in transaction ── idle timeout: ends the session, releases the log
    @Test(
        "A pause between the two round trips: PostgreSQL ends the session, the upload begins again and is applied once"
    )
    func idleOnce() async throws {
        try await Self.withNote([:]) { database, _ in
            let batch = Self.batch
            try await Self.throughProxy(database, holding: 1) { proxy, executor in
                let (_, result) = try await executor.upload(
                    ByteBuffer(string: #"{"changes":[\#(batch)]}"#),
                    from: CallerIdentity(user: "ann", device: "phone"),
                    deadline: .now + .seconds(60))
                #expect(result.outcomes.map(\.line) == ["applied 1", "applied 2"])
                #expect(result.duplicates == 0)
                // A slow machine may pause by itself, too.
                #expect(proxy.endedSessions >= 1)
            }
            #expect(
                try await database.feed("ann") == ["I notes a1 1", "I notes a2 1", "U notes a1 2"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A pause at every attempt: 503 after all of them, and a repeat is applied")
    func idleAlways() async throws {
        try await Self.withNote([:]) { database, _ in
            try await Self.throughProxy(database, holding: .max) { proxy, executor in
                try await Self.expectBusy(database, with: executor)
                #expect(proxy.endedSessions == UploadExecutor.maximumAttempts)
            }
            #expect(try await database.outcomes("ann", Self.batch) == ["applied 1", "applied 2"])
            #expect(try await database.verify().0 == [])
        }
    }

    /// An executor whose second round trips are held back this many times.
    private static func throughProxy(
        _ database: SyncedDatabase, holding times: Int,
        _ body: @Sendable @escaping (PostgresProxy, UploadExecutor) async throws -> Void
    ) async throws {
        try await database.throughProxy(
            holding: UploadStatements.enterWrites.name, times: times, settings: [idle: "100"]
        ) { try await body($0, $1.executor) }
    }

    @Test(
        "All connections are busy: whoever has waited for one in vain, or finds too many waiting, is told when to come back"
    )
    func poolExhausted() async throws {
        try await SyncedDatabase.with { database in
            // Read beforehand, as a service at work has: the catalog takes a connection too.
            _ = try await database.source.catalog()
            for (waiters, kind) in [(1, "waited"), (0, "was sent away")] {
                let refusals = Refusals()
                let pool = PostgresPool(
                    try PostgresConfiguration(url: database.url),
                    pool: try PoolConfiguration(
                        maximumConnections: 1, maximumWaiters: waiters,
                        // Also bounds how long the first connection may take to open.
                        acquireTimeout: .seconds(3)),
                    logger: SyncedDatabase.logger, observer: refusals)
                let executor = try UploadExecutor(
                    pool: pool, source: database.source, limits: .init(),
                    Configuration(environment: [:]))
                try await pool.withConnection { _ in
                    let failure = await #expect(throws: RPCFailure.self, "\(kind)") {
                        _ = try await executor.upload(
                            ByteBuffer(string: #"{"changes":[\#(Self.batch)]}"#),
                            from: CallerIdentity(user: "ann", device: "phone"),
                            deadline: .now + .seconds(60))
                    }
                    #expect(failure?.status == .unavailable, "\(kind)")
                    #expect(failure?.retryAfter == DatabaseFailures.uploadPauseWhenFull, "\(kind)")
                }
                // Tried again, it would have kept its place from others.
                #expect(refusals.count == waiters, "\(kind)")
            }
        }
    }

    /// Counts who waited for a connection in vain.
    private final class Refusals: PoolObserver {
        private let refused = Atomic(0)
        var count: Int { refused.load(ordering: .relaxed) }

        func poolDid(_ event: PoolEvent) {
            if case .refused = event { refused.add(1, ordering: .relaxed) }
        }
    }
}
