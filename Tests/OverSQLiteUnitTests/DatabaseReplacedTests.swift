import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// The app, or the system, takes the database or a part of it away while an engine uses it.
@Suite(.timeLimit(.minutes(1))) struct DatabaseReplacedTests {
    private static func user(_ number: Int, _ name: String) -> String {
        "INSERT INTO users (id, name) VALUES ('\(key(number))', '\(name)')"
    }

    /// A device and its server, with a row of each.
    private static func synced() async throws -> Device {
        let device = try Device()
        try device.execute(user(1, "here"))
        device.gateway.write("users", key(2), #"{"id":"\#(key(2))","name":"there"}"#)
        try await device.sync()
        return device
    }

    private static let names = "SELECT name FROM users ORDER BY name"

    @Test("A database that is erased under the engine is an error that names it, and no deletion")
    func erased() async throws {
        let device = try await Self.synced()
        // What GRDB's DatabaseMigrator does with `eraseDatabaseOnSchemaChange`.
        try await device.database.erase()
        try device.execute(postsAndUsers)
        try device.execute(Self.user(3, "lost to the engine"))
        let error = await #expect(throws: SyncError.self) { try await device.sync() }
        #expect("\(String(describing: error))".contains("_sync_"))
        #expect(device.engine.status.lastError == error)
        #expect(device.gateway.rows("users").count == 2)
        try device.reopen()
        try await device.sync()
        #expect(try device.lines(Self.names) == ["here", "lost to the engine", "there"])
        #expect(device.gateway.rows("users").count == 3)
    }

    @Test("The loop says so, too, and sends nothing")
    func erasedUnderLoop() async throws {
        let device = try await Self.synced()
        try await device.engine.start()
        await EngineTests.status(device.engine) { $0.state == .idle }
        try await device.database.erase()
        device.gateway.write("users", key(4), #"{"id":"\#(key(4))","name":"later"}"#)
        await EngineTests.status(device.engine) {
            if case .database(let text)? = $0.lastError { text.contains("_sync_") } else { false }
        }
        await device.engine.stop()
        #expect(device.gateway.rows("users").count == 3)
    }

    @Test("A table that is dropped and made anew under the engine loses nothing on the server")
    func tableReplaced() async throws {
        let device = try await Self.synced()
        try device.execute("DROP TABLE users")
        let error = await #expect(throws: SyncError.self) {
            device.gateway.write("users", key(4), #"{"id":"\#(key(4))","name":"later"}"#)
            try await device.sync()
        }
        #expect(error != nil)
        try device.execute(
            "CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT, age INTEGER)")
        try device.execute(Self.user(3, "before the next start"))
        try await device.sync()
        #expect(device.gateway.rows("users").count == 3)
        try device.reopen()
        try await device.sync()
        try await device.sync()
        #expect(
            try device.lines(Self.names) == ["before the next start", "here", "later", "there"])
        #expect(device.gateway.rows("users").count == 4)
    }

    @Test("A temporary table of a synced table's name takes none of the server's rows")
    func hiddenByTemporary() async throws {
        let device = try await Self.synced()
        try device.execute("CREATE TEMP TABLE users (id TEXT, name TEXT, age INTEGER)")
        device.gateway.write("users", key(4), #"{"id":"\#(key(4))","name":"later"}"#)
        let error = await #expect(throws: SyncError.self) { try await device.sync() }
        #expect("\(String(describing: error))".contains("users"))
        try device.execute("DROP TABLE temp.users")
        try await device.sync()
        #expect(try device.lines(Self.names) == ["here", "later", "there"])
    }

    @Test("After a death that took the WAL file along, what was sent comes back")
    func withoutWAL() async throws {
        let device = try Device()
        try await device.database.writeWithoutTransaction { db in
            _ = try db.checkpoint(.truncate)
            try db.execute(sql: "PRAGMA wal_autocheckpoint = 0")
        }
        device.gateway.write("users", key(2), #"{"id":"\#(key(2))","name":"there"}"#)
        try device.execute(Self.user(1, "here"))
        try await device.sync()
        #expect(device.gateway.rows("users").count == 2)
        // The file alone, as it was at the last checkpoint.
        let copy = device.path + ".copy"
        let files = FileManager.default
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/cp")
        process.arguments = [device.path, copy]
        try process.run()
        process.waitUntilExit()
        #expect(files.fileExists(atPath: copy))
        try device.reopen(from: copy)
        try device.execute(Self.user(3, "after"))
        try await device.sync()
        #expect(try device.lines(Self.names) == ["after", "here", "there"])
        #expect(device.gateway.rows("users").count == 3)
    }

    @Test("Two engines of one process on one database send each edit once")
    func twoEngines() async throws {
        let device = try await Self.synced()
        let second = try device.engine {
            InMemoryGateway.token(user: "user", device: "one")
        }
        try await device.engine.start()
        try await second.start()
        for number in 10..<30 { try device.execute(Self.user(number, "row \(number)")) }
        for engine in [device.engine, second] {
            await EngineTests.status(engine) { $0.pendingCount == 0 && $0.state == .idle }
            await engine.stop()
        }
        try await device.sync()
        try await second.syncChanges()
        #expect(device.gateway.rows("users").count == 22)
        #expect(device.gateway.logCount() == 22)
        #expect(try device.queue().isEmpty)
    }
}
