import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Restored servers, restored devices, and devices that were away for too long (promise P7, hazards H5, H17).
@Suite struct RereadTests {
    private static let users = "SELECT id, name FROM users ORDER BY id"

    /// The last digit of a key and the name, for each row here.
    private func rows(_ device: Device) throws -> [String] {
        try device.lines(Self.users).map { String($0.dropFirst(35)) }
    }

    private func payload(_ number: Int, _ name: String) -> String {
        #"{"id":"\#(key(number))","name":"\#(name)","age":null}"#
    }

    private func reread(_ events: AsyncStream<SyncEvent>) async -> RereadReport? {
        for await event in events {
            if case .reread(let report) = event { return report }
        }
        return nil
    }

    @Test("H5: what a restored server has lost is sent again by the device that has it")
    func lostByServer() async throws {
        let device = try Device()
        for number in 1...3 {
            try device.execute("INSERT INTO users (id, name) VALUES (?, 'a')", [key(number)])
        }
        try device.execute("INSERT INTO posts (id, user_id) VALUES (?, ?)", [key(9), key(3)])
        try await device.sync()
        // The backup is from here: 1 to 3 at version 1, and the post.
        let backup = device.gateway.logCount()
        try device.execute("UPDATE users SET name = 'b' WHERE id = ?", [key(1)])
        try device.execute("DELETE FROM users WHERE id = ?", [key(2)])
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'new')", [key(4)])
        try device.execute("INSERT INTO posts (id, user_id) VALUES (?, ?)", [key(8), key(4)])
        try await device.sync()
        device.gateway.restore(toSequence: backup)

        let events = device.engine.events
        // An edit that waits is not lost either.
        try device.execute("UPDATE users SET name = 'c' WHERE id = ?", [key(3)])
        try await device.sync()
        let report = await reread(events)
        #expect(report == RereadReport(reason: .newHistory, resentRows: 4, removedRows: 0))
        #expect(try rows(device) == ["1|b", "3|c", "4|new"])
        #expect(
            device.gateway.rows("users") == [
                key(1): payload(1, "b"), key(3): payload(3, "c"), key(4): payload(4, "new"),
            ])
        #expect(Set(device.gateway.rows("posts").keys) == [key(8), key(9)])
        #expect(try device.queue() == [])
        // From here on all is as usual.
        device.gateway.write("users", key(1), payload(1, "d"))
        try await device.sync()
        #expect(try rows(device) == ["1|d", "3|c", "4|new"])
    }

    @Test(
        "H5: where two histories differ at one version the server's row stands and the loss is reported"
    )
    func divergence() async throws {
        let device = try Device()
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'a')", [key(1)])
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'a')", [key(2)])
        try await device.sync()
        try device.execute("UPDATE users SET name = 'here'")
        try await device.sync()
        device.gateway.restore(toSequence: 2)
        device.gateway.write("users", key(1), payload(1, "there"))
        device.gateway.write("users", key(2), payload(2, "here"))
        let events = device.engine.events
        try await device.sync()
        #expect(try rows(device) == ["1|there", "2|here"])
        #expect(device.gateway.rows("users")[key(1)] == payload(1, "there"))
        guard case .conflict(let report)? = await events.first(where: { _ in true }) else {
            Issue.record("no conflict was reported")
            return
        }
        #expect(report.key == key(1))
        #expect(report.lost["name"] == "here".databaseValue)
    }

    @Test(
        "An edit of a row that nobody else has edited is sent to a restored server",
        arguments: RepairTests.policies.indices)
    func editOfSameRow(policy: Int) async throws {
        let gateway = InMemoryGateway()
        let tables = RepairTests.tables(RepairTests.policies[policy])
        let device = try Device("one", gateway, tables: tables)
        for number in 1...3 { gateway.write("users", key(number), payload(number, "a")) }
        try await device.sync()
        try device.execute("UPDATE users SET name = 'b' WHERE id = ?", [key(1)])
        try device.execute("DELETE FROM users WHERE id = ?", [key(2)])
        gateway.restore(toSequence: 2)
        try await device.sync()
        #expect(try rows(device) == ["1|b", "3|a"])
        #expect(
            gateway.rows("users") == [key(1): payload(1, "b"), key(3): payload(3, "a")])
        #expect(try await device.engine.settledConflicts.isEmpty)
    }

    @Test("A server that was restored without a new epoch is noticed by the cursor")
    func withoutEpoch() async throws {
        let device = try Device()
        for number in 1...3 {
            try device.execute("INSERT INTO users (id, name) VALUES (?, 'a')", [key(number)])
        }
        try await device.sync()
        device.gateway.restore(toSequence: 1)
        try device.reopen()
        try await device.sync()
        #expect(device.gateway.rows("users").count == 3)
        #expect(try rows(device).count == 3)
    }

    @Test(
        "S15: after history_pruned rows that were deleted go, edits of them are settled, the others stay"
    )
    func pruned() async throws {
        let device = try Device()
        for number in 1...4 { device.gateway.write("users", key(number), payload(number, "a")) }
        device.gateway.write("posts", key(9), #"{"id":"\#(key(9))","user_id":"\#(key(2))"}"#)
        try await device.sync()
        // While it is away: 1 stays, 2 and its post go, 3 goes, 4 goes and comes back.
        device.gateway.write("posts", key(9), nil)
        for number in 2...4 { device.gateway.write("users", key(number), nil) }
        device.gateway.write("users", key(4), payload(4, "back"))
        device.gateway.write("users", key(5), payload(5, "new"))
        device.gateway.compact()
        try device.execute("UPDATE users SET name = 'mine' WHERE id = ?", [key(3)])

        let events = device.engine.events
        try await device.sync()
        #expect(
            await reread(events)
                == RereadReport(reason: .historyPruned, resentRows: 0, removedRows: 2))
        // The edit of a row that was deleted brings it back, as the policy says.
        #expect(try rows(device) == ["1|a", "3|mine", "4|back", "5|new"])
        #expect(try device.count("SELECT count(*) FROM posts") == 0)
        #expect(device.gateway.rows("users").count == 4)
        #expect(try device.queue() == [])
    }

    @Test("A parent that a child of this device still needs is created again after history_pruned")
    func prunedParent() async throws {
        let device = try Device(
            schema: """
                CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT, age INTEGER);
                CREATE TABLE posts (id TEXT PRIMARY KEY NOT NULL, user_id TEXT REFERENCES users (id));
                """)
        device.gateway.write("users", key(1), payload(1, "a"))
        try await device.sync()
        device.gateway.write("users", key(1), nil)
        device.gateway.write("users", key(2), payload(2, "b"))
        device.gateway.compact()
        try device.execute("INSERT INTO posts (id, user_id) VALUES (?, ?)", [key(9), key(1)])
        try await device.sync()
        #expect(try rows(device) == ["1|a", "2|b"])
        #expect(device.gateway.rows("users").count == 2)
        #expect(device.gateway.rows("posts").count == 1)
    }

    @Test("A device that hydrates below the floor reads on, also after a restart between two pages")
    func hydrationBelowFloor() async throws {
        let gateway = InMemoryGateway()
        for number in 1...6 { gateway.write("users", key(number), payload(number, "a")) }
        gateway.write("users", key(6), nil)
        gateway.compact()
        let device = try Device("one", gateway) { $0.pageLimit = 2 }
        gateway.next(.download, .holdAnswer {})
        gateway.next(.download, .loseRequest)
        await #expect(throws: SyncError.self) { try await device.sync() }
        #expect(try rows(device).count == 2)
        try device.reopen()
        try await device.sync()
        #expect(try rows(device).count == 5)
    }

    @Test(
        "H17: a device restored from an older copy gets its own later rows back and uses no change id twice"
    )
    func restoredDevice() async throws {
        let gateway = InMemoryGateway()
        let device = try Device("one", gateway)
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'a')", [key(1)])
        try await device.sync()
        let copy = try device.copyOfDatabase()
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'later')", [key(2)])
        try device.execute("UPDATE users SET name = 'b' WHERE id = ?", [key(1)])
        try await device.sync()

        try device.reopen(from: copy)
        // The copy would give this the change id of the row that it has forgotten.
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'now')", [key(3)])
        let events = device.engine.events
        try await device.sync()
        #expect(await reread(events)?.reason == .deviceRestored)
        #expect(try rows(device) == ["1|b", "2|later", "3|now"])
        #expect(gateway.rows("users").count == 3)
        #expect(gateway.uploads.joined().matches(of: /"source_change_id":3\D/).count == 1)
    }

    @Test("A reading that is interrupted goes on at the next start, and ends the same")
    func interrupted() async throws {
        let gateway = InMemoryGateway()
        let device = try Device("one", gateway) { $0.pageLimit = 2 }
        for number in 1...7 {
            try device.execute("INSERT INTO users (id, name) VALUES (?, 'a')", [key(number)])
        }
        try await device.sync()
        gateway.restore(toSequence: 5)
        gateway.next(.download, .holdAnswer {})
        gateway.next(.download, .holdAnswer {})
        gateway.next(.download, .loseRequest)
        await #expect(throws: SyncError.self) { try await device.sync() }
        try device.reopen()
        try await device.sync()
        #expect(gateway.rows("users").count == 7)
        #expect(try device.lines("SELECT version, deleted FROM _sync_rows").count == 7)
        #expect(try device.count("SELECT count(*) FROM _sync_unseen") == 0)
    }
}
