import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// The device's own database fails: full, read-only, locked, or not as it was declared.
@Suite(.timeLimit(.minutes(1))) struct DatabaseFaultTests {
    /// What makes the database fail, and what makes it good again.
    enum Trouble: String, CaseIterable, Sendable {
        case full, readOnly, locked, tableGone, booksGone

        /// Whether storing an answer must meet it.
        var stopsAnswers: Bool { [.readOnly, .locked, .booksGone].contains(self) }

        private var statements: (begin: String, end: String) {
            switch self {
            case .full: ("PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1073741823")
            case .readOnly: ("PRAGMA query_only = 1", "PRAGMA query_only = 0")
            case .tableGone:
                (
                    "ALTER TABLE users RENAME TO users_away",
                    "ALTER TABLE users_away RENAME TO users"
                )
            case .booksGone:
                (
                    "ALTER TABLE _sync_rows RENAME TO _sync_rows_away",
                    "ALTER TABLE _sync_rows_away RENAME TO _sync_rows"
                )
            case .locked: ("BEGIN IMMEDIATE", "ROLLBACK")
            }
        }

        /// - Returns: the connection that has the database locked, if one has.
        func begin(_ database: DatabasePool) throws -> DatabaseQueue? {
            var configuration = Configuration()
            // A transaction that stays open is what the test is about.
            configuration.allowsUnsafeTransactions = true
            // The device may be writing when this begins.
            configuration.busyMode = .timeout(30)
            let other =
                self == .locked
                ? try DatabaseQueue(path: database.path, configuration: configuration) : nil
            try execute(statements.begin, database, other)
            return other
        }

        func end(_ database: DatabasePool, _ other: DatabaseQueue?) throws {
            try execute(statements.end, database, other)
        }

        private func execute(
            _ sql: String, _ database: DatabasePool, _ other: DatabaseQueue?
        ) throws {
            let writer: any DatabaseWriter = other ?? database
            try writer.unsafeReentrantWrite { try $0.execute(sql: sql) }
        }
    }

    /// Rows too large for what is left of the file's pages.
    private static let wide = String(repeating: "wide ", count: 20_000)

    private static func isDatabase(_ error: (any Error)?) -> Bool {
        switch error as? SyncError {
        case .database, .diskFull: true
        default: false
        }
    }

    @Test(
        "A page that cannot be stored moves no cursor and is read again",
        arguments: Trouble.allCases)
    func fetching(trouble: Trouble) async throws {
        let device = try Device()
        try await device.sync()
        device.gateway.write("users", key(1), #"{"id":"\#(key(1))","name":"\#(Self.wide)"}"#)
        let other = try trouble.begin(device.database)
        let error = await #expect(throws: SyncError.self) { try await device.sync() }
        #expect(Self.isDatabase(error), "\(String(describing: error))")
        #expect(device.engine.status.lastError == error)
        try trouble.end(device.database, other)
        #expect(try device.count("SELECT cursor FROM _sync_state") == 0)
        try await device.sync()
        #expect(try device.count("SELECT length(name) FROM users") == Self.wide.count)
        #expect(device.engine.status.lastError == nil)
    }

    @Test(
        "An answer that cannot be stored is asked for again, and what it confirmed is not applied twice",
        arguments: Trouble.allCases)
    func sending(trouble: Trouble) async throws {
        let device = try Device()
        try await device.sync()
        try device.execute("INSERT INTO users (id, name) VALUES ('\(key(1))', 'a')")
        let others = LockedValue<[DatabaseQueue]>([])
        // After the request has gone out, so that its answer meets a database that fails.
        device.gateway.next(
            .upload,
            .holdAnswer { [database = device.database] in
                if let other = try trouble.begin(database) { others.change { $0.append(other) } }
            })
        let error = await Self.error { try await device.engine.sendChanges() }
        if trouble.stopsAnswers { #expect(Self.isDatabase(error), "\(String(describing: error))") }
        try trouble.end(device.database, others.value.first)
        try await device.sync()
        #expect(try device.queue().isEmpty)
        #expect(device.gateway.log().map(\.version) == [1])
        #expect(try device.count("SELECT count(*) FROM users") == 1)
    }

    private static func error(_ body: () async throws -> Void) async -> (any Error)? {
        do {
            try await body()
            return nil
        } catch { return error }
    }

    @Test(
        "The loop waits while the database fails and goes on by itself", arguments: Trouble.allCases
    )
    func loop(trouble: Trouble) async throws {
        let device = try Device()
        try await device.engine.start()
        await EngineTests.status(device.engine) { $0.state == .idle && $0.lastSynced != nil }
        let other = try trouble.begin(device.database)
        device.gateway.write("users", key(1), #"{"id":"\#(key(1))","name":"\#(Self.wide)"}"#)
        await EngineTests.status(device.engine) { Self.isDatabase($0.lastError) }
        await device.clock.waitForSleeper()
        try trouble.end(device.database, other)
        device.clock.advance(seconds: 60)
        await EngineTests.status(device.engine) { $0.lastError == nil && $0.state == .idle }
        #expect(try device.count("SELECT length(name) FROM users") == Self.wide.count)
        await device.engine.stop()
    }

    @Test("On a database that is opened read-only an engine says so at once")
    func openedReadOnly() throws {
        let device = try Device()
        var configuration = Configuration()
        configuration.readonly = true
        let database = try DatabaseQueue(path: device.path, configuration: configuration)
        let gateway = try #require(URL(string: "https://gateway.test"))
        let error = #expect(throws: DatabaseError.self) {
            try SyncEngine(
                for: database, tables: [SyncTable("users")],
                configuration: SyncConfiguration(gateway: gateway, schema: "business"),
                credentials: { "" })
        }
        #expect(error?.resultCode == .SQLITE_READONLY)
    }

    @Test("The app's writes go on while a request is held for ten minutes")
    func slowServer() async throws {
        let device = try Device()
        try await device.sync()
        try device.execute("INSERT INTO users (id, name) VALUES ('\(key(1))', 'a')")
        let gate = AsyncStream<Void>.makeStream()
        let isHeld = AsyncStream<Void>.makeStream()
        device.gateway.next(
            .upload,
            .holdRequest {
                isHeld.continuation.yield()
                for await _ in gate.stream { break }
            })
        let engine = device.engine
        async let sending: Void = engine.sendChanges()
        for await _ in isHeld.stream { break }
        // Nobody looks, and yet the status says that nothing gets through.
        await device.clock.waitForSleeper()
        device.clock.advance(seconds: 600)
        await EngineTests.status(engine) { $0.lastError == .noProgress(seconds: 600) }
        #expect(engine.status.state == .sending)
        try device.execute("UPDATE users SET name = 'b'")
        gate.continuation.yield()
        try await sending
        #expect(device.engine.status.lastError == nil)
        #expect(device.gateway.rows("users")[key(1)]?.contains(#""name":"b""#) == true)
        #expect(try device.queue().isEmpty)
    }

    @Test(
        "The loop says by itself that nothing gets through while a request is held",
        arguments: [.bootstrap, .download, .upload] as [GatewayEndpoint])
    func heldInLoop(endpoint: GatewayEndpoint) async throws {
        let device = try Device()
        let insert = "INSERT INTO users (id) VALUES ('\(key(1))')"
        if endpoint == .upload { try device.execute(insert) }
        let gate = AsyncStream<Void>.makeStream()
        let isHeld = AsyncStream<Void>.makeStream()
        device.gateway.next(
            endpoint,
            .holdRequest {
                isHeld.continuation.yield()
                for await _ in gate.stream { break }
            })
        try await device.engine.start()
        for await _ in isHeld.stream { break }
        // What is written later is synced, too.
        if endpoint != .upload { try device.execute(insert) }
        await device.clock.waitForSleeper()
        device.clock.advance(seconds: 120)
        await EngineTests.status(device.engine) { $0.lastError == .noProgress(seconds: 120) }
        gate.continuation.yield()
        await EngineTests.status(device.engine) { $0.pendingCount == 0 && $0.lastError == nil }
        await device.engine.stop()
    }
}
