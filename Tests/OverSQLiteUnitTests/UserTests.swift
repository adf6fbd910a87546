import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Whose rows a database holds.
@Suite(.timeLimit(.minutes(1))) struct UserTests {
    private static func anonymous(adjust: (Device) throws -> Void = { _ in }) throws -> Device {
        let device = try Device()
        device.gateway.write("users", key(9), PullTests.user(9))
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'local')", [key(1)])
        try adjust(device)
        return device
    }

    @Test("H7: signing in merges what was written before, unless told otherwise")
    func merge() async throws {
        let device = try Self.anonymous()
        #expect(try await device.engine.userID == nil)
        let pending = try await device.engine.pendingChanges()
        try await device.engine.signIn(as: "user")
        try await device.sync()
        try await pending.confirmed()
        #expect(try await device.engine.userID == "user")
        #expect(device.gateway.rows("users").count == 2)
        #expect(try device.count("SELECT count(*) FROM users") == 2)
    }

    @Test("kept rows stay on the device, unsent until they are edited")
    func keep() async throws {
        let device = try Self.anonymous()
        let pending = try await device.engine.pendingChanges()
        try await device.engine.signIn(as: "user", localData: .keep)
        try await device.sync()
        #expect(try await pending.confirmations().map(\.outcome) == [.discarded])
        #expect(device.gateway.rows("users").keys.sorted() == [key(9)])
        #expect(try device.count("SELECT count(*) FROM users") == 2)
        #expect(
            try device.lines(
                "SELECT state FROM sync_row_status WHERE key = '\(key(1))'"
            ).isEmpty)
        try device.reopen()
        try device.execute("UPDATE users SET age = 2 WHERE id = ?", [key(1)])
        try await device.sync()
        #expect(device.gateway.rows("users").count == 2)
        try await device.engine.signOut()
        #expect(try device.count("SELECT count(*) FROM users") == 0)
    }

    @Test("discarded rows are gone before anything is fetched, and nobody's deletes are sent")
    func discard() async throws {
        let device = try Self.anonymous()
        try await device.engine.signIn(as: "user", localData: .discard)
        #expect(try device.count("SELECT count(*) FROM users") == 0)
        #expect(device.engine.status.pendingCount == 0)
        try await device.sync()
        #expect(try device.text("SELECT id FROM users") == key(9))
        #expect(device.gateway.uploads.isEmpty)
    }

    @Test("a second sign-in of the user changes nothing, another user's is refused untouched")
    func again() async throws {
        let device = try Self.anonymous()
        try await device.engine.signIn(as: "user")
        try await device.engine.signIn(as: "user", localData: .discard)
        #expect(try device.count("SELECT count(*) FROM users") == 1)
        let refusal = SyncError.differentUser(owner: "user", other: "other")
        await #expect(throws: refusal) {
            try await device.engine.signIn(as: "other", localData: .discard)
        }
        #expect(try device.count("SELECT count(*) FROM users") == 1)
        #expect(device.gateway.requests.isEmpty)
    }

    @Test("a token of somebody else than who signed in is not used for a single request")
    func otherToken() async throws {
        let device = try Self.anonymous()
        try await device.engine.signIn(as: "somebody else")
        let refusal = SyncError.differentUser(owner: "somebody else", other: "user")
        await #expect(throws: refusal) { try await device.sync() }
        #expect(device.engine.status.lastError?.advice == .signOut)
        #expect(device.gateway.requests.isEmpty)
    }

    @Test("a loop that waits for credentials goes on at the sign-in")
    func waking() async throws {
        let device = try Device(user: "user") { $0.backoff = 1000...1000 }
        device.gateway.next(.bootstrap, .answerInstead(status: 503))
        try await device.engine.start()
        await EngineTests.status(device.engine) { $0.lastError == .busy(retryAfter: nil) }
        try await device.engine.signIn(as: "user")
        await EngineTests.status(device.engine) { $0.lastError == nil && $0.lastSynced != nil }
        await device.engine.stop()
    }

    @Test(
        "signing out is refused for rejected rows too, and leaves not a word of the user's behind")
    func signOut() async throws {
        let device = try Self.anonymous()
        device.gateway.refuse("users", key(1), reason: "bad_payload")
        try await device.sync()
        await #expect(throws: SyncError.pendingChanges(1, rejected: 1)) {
            try await device.engine.signOut()
        }
        try await device.engine.signOut(force: true)
        for table in try device.lines("SELECT name FROM sqlite_master WHERE type = 'table'") {
            let rows = try device.lines("SELECT * FROM \(table.quotedIdentifier)")
            #expect(!rows.contains { $0.contains("local") || $0.contains(key(1)) }, "\(table)")
        }
        #expect(device.engine.status.lastSynced == nil)
    }

    @Test("a table that is synced no more keeps no rows for the next user either")
    func formerTable() async throws {
        let device = try Device()
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(1)])
        try device.execute("INSERT INTO posts (id, user_id) VALUES (?, ?)", [key(2), key(1)])
        try await device.sync()
        try device.reopen(tables: [SyncTable("users")])
        try await device.engine.signOut()
        #expect(try device.count("SELECT count(*) FROM posts") == 0)
        try device.reopen(user: "other")
        try await device.sync()
        #expect(device.gateway.rows("posts", user: "other").isEmpty)
    }

    @Test("a table that comes back has what went past in between, deletes included")
    func returningTable() async throws {
        let device = try Device()
        for number in 1...3 { device.gateway.write("users", key(number), PullTests.user(number)) }
        try await device.sync()
        try device.reopen(tables: [SyncTable("posts")])
        device.gateway.write("users", key(4), PullTests.user(4))
        device.gateway.write("users", key(1), nil)
        device.gateway.write("users", key(2), nil)
        try await device.sync()
        device.gateway.compact()
        try device.reopen(tables: [SyncTable("users"), SyncTable("posts")])
        try await device.sync()
        #expect(
            try device.lines("SELECT id FROM users ORDER BY id") == [key(3), key(4)])
    }

    /// As identity providers issue them: they know users, and no devices.
    static let tokenOfUser =
        "e30." + Data(#"{"sub":"user"}"#.utf8).base64EncodedString().replacing("=", with: "") + ".x"

    @Test("a token without a device goes with the engine's own name beside it")
    func tokenWithoutDevice() async throws {
        let gateway = InMemoryGateway()
        let devices = [try Device("one", gateway), try Device("two", gateway)]
        let engines = try devices.map { try $0.engine { Self.tokenOfUser } }
        try devices[0].execute("INSERT INTO users (id, name) VALUES (?, 'a')", [key(1)])
        try await engines[0].syncChanges()
        #expect(gateway.log().map(\.device) == [try await engines[0].deviceID])
        try await engines[1].syncChanges()
        #expect(try devices[1].count("SELECT count(*) FROM users") == 1)
        #expect(try await engines[0].deviceID != engines[1].deviceID)
    }
}
