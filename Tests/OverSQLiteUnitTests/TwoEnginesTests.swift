import Foundation
import GRDB
import OverSQLiteTestSupport
import SeededRandom
import Testing

@testable import OverSQLite

/// Two connections to one database file with an engine each, as an app and its extension have: nothing in memory is
/// shared between them, as between two processes.
@Suite(.timeLimit(.minutes(2))) struct TwoEnginesTests {
    /// Seconds that a connection waits for the other's transaction.
    private static let busyTimeout = 10.0

    /// The second engine on a device's file.
    private struct Second {
        let database: DatabasePool
        let engine: SyncEngine

        init(of device: Device, user: String = "user") throws {
            var configuration = Configuration()
            configuration.busyMode = .timeout(TwoEnginesTests.busyTimeout)
            database = try DatabasePool(path: device.path, configuration: configuration)
            engine = try SyncEngine(
                for: database, tables: device.tables,
                configuration: device.engine.session.configuration,
                credentials: { InMemoryGateway.token(user: user, device: "one") })
        }
    }

    private static func insert(_ number: Int, _ name: String) -> String {
        "INSERT INTO users (id, name) VALUES ('\(key(number))', '\(name)')"
    }

    // first:   composes, sends ───────────────────────── hears: applied
    // second:                    edits, sends, fetches
    @Test("what one engine sends and edits while the other waits for its answer comes out once")
    func sendMeanwhile() async throws {
        let device = try Device()
        let second = try Second(of: device)
        try await device.sync()
        try device.execute(Self.insert(1, "a"))
        device.gateway.next(
            .upload,
            .holdAnswer {
                try await second.database.write { db in
                    try db.execute(sql: "UPDATE users SET name = 'b'")
                    try db.execute(sql: Self.insert(2, "c"))
                }
                try await second.engine.syncChanges()
            })
        try await device.sync()
        try await second.engine.syncChanges()
        #expect(device.gateway.rows("users").count == 2)
        #expect(device.gateway.rows("users")[key(1)]?.contains(#""b""#) == true)
        #expect(try device.lines("SELECT name FROM users ORDER BY id") == ["b", "c"])
        #expect(try device.queue().isEmpty)
        // The insert, the edit, and the second insert.
        #expect(device.gateway.logCount() == 3)
    }

    // first:   asks for a page ────────────────── hears it: old
    // second:                    reads to the end
    @Test(
        "a page that the other engine has read meanwhile is not applied again, and reading goes on")
    func fetchMeanwhile() async throws {
        let device = try Device { $0.pageLimit = 2 }
        let second = try Second(of: device)
        for number in 1...5 { device.gateway.write("users", key(number), PullTests.user(number)) }
        let gateway = device.gateway
        gateway.next(
            .download,
            .holdAnswer {
                try await second.engine.fetchChanges()
                gateway.write("users", key(6), PullTests.user(6))
            })
        try await device.engine.fetchChanges()
        #expect(try device.count("SELECT count(*) FROM users") == 6)
        #expect(device.engine.status.hasFinishedFirstSync)
    }

    // first:   asks for ada's page ──────────────────────────── hears it
    // second:                        signs ada out, bob signs in
    @Test("an answer to one user's request is not written when another has signed in meanwhile")
    func signOutMeanwhile() async throws {
        let device = try Device(user: "ada")
        let second = try Second(of: device, user: "bob")
        device.gateway.write("users", key(1), PullTests.user(1), user: "ada")
        device.gateway.write("users", key(2), PullTests.user(2), user: "bob")
        device.gateway.next(
            .download,
            .holdAnswer {
                try await second.engine.signOut()
                try await second.engine.signIn(as: "bob")
            })
        await #expect(throws: SyncError.signedOutElsewhere) { try await device.sync() }
        #expect(try device.count("SELECT count(*) FROM users") == 0)
        let refusal = SyncError.differentUser(owner: "bob", other: "ada")
        for _ in 1...2 { await #expect(throws: (any Error).self) { try await device.sync() } }
        #expect(device.engine.status.lastError == refusal)
        try await second.engine.syncChanges()
        #expect(try device.lines("SELECT id FROM users") == [key(2)])
    }

    @Test(
        "two engines that write and sync at once, with answers lost, end with the gateway's rows and each edit once",
        arguments: [1, 2, 3, 4, 5, 6] as [UInt64])
    func together(seed: UInt64) async throws {
        let device = try Device { configuration in
            configuration.pageLimit = 3
            configuration.uploadLimit = 4
        }
        let other = try Device("two", device.gateway)
        let engines = [try Second(of: device), try Second(of: device)]
        var random = SeededGenerator(seed: seed)
        for round in 0..<12 {
            let seeds = engines.map { _ in UInt64.random(in: 1...(.max), using: &random) }
            if round % 3 == 1 { device.gateway.next(.upload, .loseAnswer) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (second, seed) in zip(engines, seeds) {
                    group.addTask { try await Self.work(second, seed) }
                }
                try await group.waitForAll()
            }
            try Self.edit(other.database, &random)
            do { try await other.sync() } catch SyncError.unreachable {}
        }
        device.gateway.clearFaults()
        for _ in 0..<6 {
            for second in engines { try await second.engine.syncChanges() }
            try await other.sync()
        }
        let uploads = device.gateway.uploads.count
        for second in engines { try await second.engine.syncChanges() }
        #expect(device.gateway.uploads.count == uploads)
        #expect(try device.queue().isEmpty)
        #expect(engines.allSatisfy { $0.engine.status.rejectedCount == 0 })
        let rows = try device.lines("SELECT * FROM users ORDER BY id")
        #expect(try other.lines("SELECT * FROM users ORDER BY id") == rows)
        let keys = try device.lines("SELECT id FROM users ORDER BY id")
        #expect(keys == device.gateway.rows("users").keys.sorted())
        for (key, payload) in device.gateway.rows("users") {
            #expect(
                try ConvergenceTests.localPayload(key, in: "users", of: device) == payload)
        }
    }

    // first:   sends +1 ────────────────────────── applied; sends the second +1: applied
    // second:             edits +1, sends ─────────────────────────────────────────────── edits +1; hears: conflict
    @Test("an answer that has been overtaken by the other engine's is no conflict")
    func overtaken() async throws {
        let device = try Device { $0.conflictPolicy = .fieldwise(clash: .server) }
        let second = try Second(of: device)
        let addOne = "UPDATE users SET age = age + 1"
        try device.execute("INSERT INTO users (id, name, age) VALUES (?, 'a', 0)", [key(1)])
        try await device.sync()
        let (arrived, arrival) = AsyncStream.makeStream(of: Void.self)
        let (released, release) = AsyncStream.makeStream(of: Void.self)
        let gateway = device.gateway
        let sending = LockedValue<Task<Void, any Error>?>(nil)
        gateway.next(
            .upload,
            .holdAnswer {
                try await second.database.write { db in try db.execute(sql: addOne) }
                gateway.next(
                    .upload,
                    .holdAnswer {
                        arrival.finish()
                        for await _ in released {}
                    })
                sending.change { $0 = Task { try await second.engine.sendChanges() } }
                for await _ in arrived {}
            })
        try device.execute(addOne)
        try await device.engine.sendChanges()
        try device.execute(addOne)
        release.finish()
        try await sending.value?.value
        try await device.sync()
        #expect(try await device.engine.settledConflicts.isEmpty)
        #expect(try device.lines("SELECT age FROM users") == ["3"])
        #expect(gateway.rows("users")[key(1)]?.contains(#""age":3"#) == true)
        #expect(try device.queue().isEmpty)
    }

    @Test("two engines of one user have no conflict with themselves", arguments: 1...8)
    func noConflict(run: Int) async throws {
        let device = try Device { $0.conflictPolicy = .fieldwise(clash: .server) }
        try device.execute("INSERT INTO users (id, name, age) VALUES (?, 'a', 0)", [key(1)])
        try await device.sync()
        let engines = [try Second(of: device), try Second(of: device)]
        let edits = 25
        try await withThrowingTaskGroup(of: Void.self) { group in
            for second in engines {
                group.addTask {
                    for _ in 0..<edits {
                        try await second.database.write { db in
                            try db.execute(sql: "UPDATE users SET age = age + 1")
                        }
                        try await second.engine.syncChanges()
                    }
                }
            }
            try await group.waitForAll()
        }
        try await device.sync()
        #expect(try device.lines("SELECT age FROM users") == ["\(engines.count * edits)"])
        #expect(
            device.gateway.rows("users")[key(1)]?.contains(#""age":\#(engines.count * edits)"#)
                == true)
        #expect(try await device.engine.settledConflicts.isEmpty)
        #expect(try device.queue().isEmpty)
    }

    /// Edits and exchanges, as a process does that knows nothing of the other.
    private static func work(_ second: Second, _ seed: UInt64) async throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<4 {
            try Self.edit(second.database, &random)
            do { try await second.engine.syncChanges() } catch SyncError.unreachable {}
        }
    }

    private static func edit(_ database: DatabasePool, _ random: inout SeededGenerator) throws {
        let number = Int.random(in: 1...6, using: &random)
        let value = Int.random(in: 0..<1000, using: &random)
        let statements = [
            "INSERT INTO users (id, name) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET name = ?2",
            "UPDATE users SET age = ?2 WHERE id = ?1", "UPDATE users SET name = ?2 WHERE id <> ?1",
            "DELETE FROM users WHERE id = ?1 AND ?2 IS NOT NULL",
        ]
        let statement = statements[Int.random(in: 0..<4, using: &random)]
        try database.write { db in
            try db.execute(sql: statement, arguments: [key(number), value])
        }
    }

    @Test("two loops run side by side without an error, and what either's app writes arrives")
    func loops() async throws {
        let device = try Device { $0.pollInterval = 1 }
        let engines = [try Second(of: device), try Second(of: device)]
        for second in engines { try await second.engine.start() }
        for number in 1...20 {
            try await engines[number % 2].database.write { db in
                try db.execute(sql: Self.insert(number, "n"))
            }
        }
        for second in engines { await EngineTests.status(second.engine) { $0.lastSynced != nil } }
        let deadline = ContinuousClock.now + .seconds(30)
        while device.gateway.rows("users").count < 20 {
            try #require(ContinuousClock.now < deadline)
            await Task.yield()
        }
        for second in engines { await second.engine.stop() }
        try await engines[0].engine.syncChanges()
        #expect(try device.queue().isEmpty)
        #expect(engines.allSatisfy { $0.engine.status.lastError == nil })
        #expect(device.gateway.logCount() == 20)
    }
}
