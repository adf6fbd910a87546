import AsyncHTTPClient
import DeviceScript
import Foundation
import GRDB
import OverSQLite
import OverSQLiteAsyncHTTP
import OverSQLiteTestSupport
import Testing

/// The device works with a server without our additions, over real HTTP.
@Suite("Reference server", .timeLimit(.minutes(2))) struct ReferenceServerTests {
    @Test("Two devices sync rows, edits, deletes and children; every character and digit arrives")
    func roundTrip() async throws {
        let server = ReferenceServer()
        try await LoopbackServer.run(server) { url in
            // The default transport on one side.
            let one = try ReferenceDevice("one", url, URLSessionTransport())
            let two = try ReferenceDevice("two", url, AsyncHTTPTransport(client: .shared))
            try one.write(
                "INSERT INTO users (id, name, age) VALUES ('\(key(1))', '<&> ü \u{2028}', 1)")
            try one.write("INSERT INTO users (id, age) VALUES ('\(key(2))', 9007199254740993)")
            try one.write("INSERT INTO posts VALUES ('\(key(3))', '\(key(1))', NULL)")
            try await one.engine.syncChanges()
            try await two.engine.syncChanges()
            #expect(try two.rows() == one.rows())
            #expect(try two.rows().count == 3)
            try two.write("UPDATE users SET name = 'b' WHERE id = '\(key(1))'")
            try two.write("DELETE FROM users WHERE id = '\(key(2))'")
            try await two.engine.syncChanges()
            try await one.engine.syncChanges()
            #expect(try one.rows() == two.rows())
            #expect(try one.rows().count == 2)
            #expect(
                server.log.map(\.operation) == ["INSERT", "INSERT", "INSERT", "UPDATE", "DELETE"])
            for device in [one, two] {
                #expect(device.engine.status.pendingCount == 0)
                #expect(device.engine.status.lastError == nil)
            }
        }
    }

    @Test("Edits of one row on both devices are merged, though the server does not say who wrote")
    func conflict() async throws {
        let server = ReferenceServer()
        try await LoopbackServer.run(server) { url in
            let one = try ReferenceDevice("one", url)
            let two = try ReferenceDevice("two", url)
            try one.write("INSERT INTO users (id, name, age) VALUES ('\(key(1))', 'a', 1)")
            try await one.engine.syncChanges()
            try await two.engine.syncChanges()
            try one.write("UPDATE users SET name = 'b'")
            try two.write("UPDATE users SET age = 2")
            // Sent without reading first, so that the server must refuse one of them.
            try await one.engine.sendChanges()
            try await two.engine.sendChanges()
            for device in [one, two, one] { try await device.engine.syncChanges() }
            #expect(try one.rows() == ["\(key(1)) b 2"])
            #expect(try two.rows() == ["\(key(1)) b 2"])
        }
    }

    @Test("S5, C17: what is edited after a lost answer is neither dropped nor undone")
    func lostAnswer() async throws {
        let server = ReferenceServer()
        try await LoopbackServer.run(server) { url in
            let one = try ReferenceDevice("one", url)
            let two = try ReferenceDevice("two", url)
            try one.write("INSERT INTO users (id, name) VALUES ('\(key(1))', 'a')")
            try await one.engine.syncChanges()
            server.loseNextUploadAnswer()
            try one.write("UPDATE users SET name = 'b'")
            await #expect(throws: SyncError.self) { try await one.engine.sendChanges() }
            try one.write("UPDATE users SET name = 'c'")
            try await one.engine.syncChanges()
            // Lost again, and nothing edited meanwhile: acknowledged without a version.
            server.loseNextUploadAnswer()
            try one.write("UPDATE users SET name = 'd'")
            await #expect(throws: SyncError.self) { try await one.engine.sendChanges() }
            try await one.engine.syncChanges()
            try one.write("UPDATE users SET name = 'e'")
            try await one.engine.syncChanges()
            try await two.engine.syncChanges()
            #expect(try one.rows() == ["\(key(1)) e -"])
            #expect(try two.rows() == one.rows())
            #expect(one.engine.status.pendingCount == 0)
            let names = server.log.compactMap { $0.payload?.firstMatch(of: /"name":"(.)"/)?.1 }
            #expect(names == ["a", "b", "c", "d", "e"])
        }
    }

    @Test("A child waits for its parent, and a row the server does not know is made anew")
    func refusals() async throws {
        let server = ReferenceServer()
        try await LoopbackServer.run(server) { url in
            let one = try ReferenceDevice("one", url)
            try one.write("PRAGMA foreign_keys = OFF")
            try one.write("INSERT INTO posts VALUES ('\(key(2))', '\(key(1))', 'p')")
            try await one.engine.syncChanges()
            #expect(try await one.engine.rejectedChanges.map(\.reason) == ["fk_missing"])
            try one.write("INSERT INTO users (id) VALUES ('\(key(1))')")
            try await one.engine.syncChanges()
            one.clock.advance(seconds: 3600)
            try await one.engine.syncChanges()
            #expect(try await one.engine.rejectedChanges.isEmpty)
            #expect(server.log.map(\.place.table) == ["users", "posts"])
        }
    }

    @Test("H12: the loop finds that the server holds no requests, and asks at its interval")
    func loop() async throws {
        let server = ReferenceServer()
        try await LoopbackServer.run(server) { url in
            let one = try ReferenceDevice("one", url)
            let two = try ReferenceDevice("two", url)
            try await two.engine.start()
            await two.clock.waitForSleeper()
            let asked = server.requests.count
            try one.write("INSERT INTO users (id, name) VALUES ('\(key(1))', 'a')")
            try await one.engine.syncChanges()
            let since = server.requests.count
            #expect(try two.rows().isEmpty)
            two.clock.advance(seconds: 30)
            let counts = ValueObservation.tracking {
                try Int.fetchOne($0, sql: "SELECT count(*) FROM users") ?? 0
            }
            for try await count in counts.values(in: two.database) where count == 1 { break }
            await two.engine.stop()
            #expect(asked <= 4)
            #expect(server.requests.count - since <= 3)
            #expect(server.requests.contains { $0.path == "/sync/bootstrap" })
        }
    }

    @Test("A token the server does not take is the app's to renew")
    func unauthorized() async throws {
        let server = ReferenceServer()
        try await LoopbackServer.run(server) { url in
            let one = try ReferenceDevice("one", url, token: "no token")
            await #expect(throws: SyncError.self) { try await one.engine.syncChanges() }
            guard case .unauthorized? = one.engine.status.lastError else {
                Issue.record("\(String(describing: one.engine.status.lastError))")
                return
            }
        }
    }
}

private func key(_ number: Int) -> String { DeviceScript.key(number) }

/// A device on a database in memory.
private final class ReferenceDevice: Sendable {
    let engine: SyncEngine
    let clock = ManualClock()
    let database: DatabaseQueue

    init(
        _ name: String, _ url: String,
        _ transport: any HTTPTransport = AsyncHTTPTransport(client: .shared), token: String? = nil
    ) throws {
        database = try DatabaseQueue()
        try database.write { try $0.execute(sql: DeviceScript.schema) }
        var configuration = SyncConfiguration(
            gateway: try #require(URL(string: url)), schema: "business")
        configuration.transport = transport
        configuration.clock = clock
        let token = token ?? InMemoryGateway.token(device: name)
        engine = try SyncEngine(
            for: database, tables: [SyncTable("users"), SyncTable("posts")],
            configuration: configuration, credentials: { token })
    }

    func write(_ sql: String) throws {
        try database.writeWithoutTransaction { try $0.execute(sql: sql) }
    }

    func rows() throws -> [String] {
        try database.read { db in
            try String.fetchAll(
                db,
                sql: """
                    SELECT id || ' ' || coalesce(name, '-') || ' ' || coalesce(age, '-') FROM users
                    UNION ALL SELECT id || ' ' || user_id || ' ' || coalesce(title, '-') FROM posts
                    ORDER BY 1
                    """)
        }
    }
}
