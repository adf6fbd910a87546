import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// A change that was refused and is given up.
struct DiscardTests {
    private static let users = "SELECT name, age FROM users"

    /// A device whose user Ada, 36, the server has, and refuses to change.
    private func device(_ edit: String, _ policy: ConflictPolicy = .fieldwise()) async throws
        -> (Device, RejectedChange)
    {
        let device = try Device { $0.conflictPolicy = policy }
        try device.execute("INSERT INTO users (id, name, age) VALUES (?, 'Ada', 36)", [key(1)])
        try await device.sync()
        device.gateway.refuse("users", key(1), reason: "bad_payload")
        try device.execute(edit)
        try await device.sync()
        return (device, try #require(try await device.engine.rejectedChanges.first))
    }

    @Test(
        "the row becomes again what the server has",
        arguments: ["UPDATE users SET name = 'x', age = NULL", "DELETE FROM users"])
    func takesBack(edit: String) async throws {
        let (device, change) = try await device(edit)
        try await device.engine.discard(change)
        #expect(try device.lines(Self.users) == ["Ada|36"])
        #expect(try device.queue().isEmpty && device.engine.status.pendingCount == 0)
        #expect(try device.lines("SELECT state FROM sync_row_status") == ["synced"])
        device.gateway.refuse("users", key(1), reason: nil)
        try device.execute("UPDATE users SET age = 37")
        try await device.sync()
        #expect(
            device.gateway.rows("users")[key(1)]
                == #"{"id":"\#(key(1))","name":"Ada","age":37}"#)
    }

    @Test("a row the server never had goes, and with it rows that hang on it")
    func newRow() async throws {
        let device = try Device()
        device.gateway.refuse("users", key(1), reason: "bad_payload")
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(1)])
        try device.execute("INSERT INTO posts (id, user_id) VALUES (?, ?)", [key(2), key(1)])
        device.gateway.refuse("posts", key(2), reason: "fk_missing")
        try await device.sync()
        let change = try await device.engine.rejectedChanges.first { $0.table == "users" }
        try await device.engine.discard(try #require(change))
        #expect(try device.count("SELECT count(*) FROM users") == 0)
        #expect(try device.count("SELECT count(*) FROM posts") == 0)
        #expect(try device.lines("SELECT * FROM users").isEmpty)
        #expect(device.engine.status.rejectedCount == 0)
    }

    @Test("a change that was edited since is not discarded")
    func edited() async throws {
        let (device, change) = try await device("UPDATE users SET name = 'x'")
        try device.execute("UPDATE users SET name = 'y'")
        try await device.engine.discard(change)
        #expect(try device.lines(Self.users) == ["y|36"])
        #expect(try device.queue() == ["UPDATE|1"])
    }

    @Test(
        "the row becomes again what the server has under every policy",
        arguments: [ConflictPolicy.serverWins, .clientWins],
        ["UPDATE users SET name = 'x'", "DELETE FROM users"])
    func everyPolicy(policy: ConflictPolicy, edit: String) async throws {
        let (device, change) = try await device(edit, policy)
        try await device.engine.discard(change)
        #expect(try device.lines(Self.users) == ["Ada|36"])
        #expect(try device.queue().isEmpty)
    }

    @Test(
        "an edit that the app's resolver could not settle gives way to the server's row",
        arguments: [#"{"id":"\#(key(1))","name":"Ada","age":40}"#, nil])
    func resolverFailed(server: String?) async throws {
        struct Undecided: Error {}
        let device = try Device { $0.conflictPolicy = .resolver { _ in throw Undecided() } }
        try device.execute("INSERT INTO users (id, name, age) VALUES (?, 'Ada', 36)", [key(1)])
        try await device.sync()
        try device.execute("UPDATE users SET name = 'x'")
        device.gateway.write("users", key(1), server)
        try await device.sync()
        let change = try #require(try await device.engine.rejectedChanges.first)
        #expect(change.reason == "resolver_failed")
        #expect(try device.lines(Self.users) == ["x|36"])
        try await device.engine.discard(change)
        #expect(try device.lines(Self.users) == (server == nil ? [] : ["Ada|40"]))
        #expect(try device.queue().isEmpty)
        #expect(device.engine.status.heldCount == 0)
    }

    @Test("an edit made while columns were released stays until the server's next version")
    func withoutImage() async throws {
        let device = try Device()
        try device.execute("INSERT INTO users (id, name, age) VALUES (?, 'Ada', 36)", [key(1)])
        try await device.sync()
        try await device.database.write { db in
            try SyncEngine.prepareToDropColumns(of: "users", in: db)
        }
        device.gateway.refuse("users", key(1), reason: "bad_payload")
        try device.execute("UPDATE users SET name = 'x'")
        try await device.sync()
        let change = try #require(try await device.engine.rejectedChanges.first)
        try await device.engine.discard(change)
        #expect(try device.lines(Self.users) == ["x|36"])
        device.gateway.write("users", key(1), #"{"id":"\#(key(1))","name":"Ada","age":37}"#)
        try await device.sync()
        #expect(try device.lines(Self.users) == ["Ada|37"])
    }
}
