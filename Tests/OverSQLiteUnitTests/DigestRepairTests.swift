import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// What a comparison leaves alone: rows that wait to be sent again, values for this device only,
/// and what other devices wrote.
@Suite("P8: a repair changes no more than the rows that differ")
struct DigestRepairTests {
    private static let day = 86_401.0

    private func payload(_ number: Int, _ name: String) -> String {
        #"{"id":"\#(key(number))","name":"\#(name)","age":null}"#
    }

    private func asked(_ device: Device, _ path: String) -> Int {
        device.gateway.requests.filter { $0.path.hasSuffix(path) }.count
    }

    /// A device that has read rows 1 to 3 of the server's.
    private func hydrated(_ policy: ConflictPolicy = .serverWins) async throws -> Device {
        let tables = [SyncTable("users", conflictPolicy: policy), SyncTable("posts")]
        let device = try Device(tables: tables)
        for number in 1...3 {
            device.gateway.write("users", key(number), payload(number, "n\(number)"))
        }
        try await device.sync()
        return device
    }

    private func comparison(_ device: Device) async throws -> TableComparison {
        let report = try await device.engine.verify()
        return try #require(report.tables.first { $0.table == "users" })
    }

    /// Changes the books as nothing but a fault does: without a trace in the log.
    private func damage(_ device: Device, _ sql: String) throws {
        try device.database.write { db in
            try ApplyMode(db: db).during { try db.execute(sql: sql) }
            try db.execute(
                sql: "UPDATE _sync_state SET folded = (SELECT coalesce(max(seq), 0) FROM _sync_log)"
            )
        }
    }

    @Test("Rows that wait to be sent again after a restore are no drift, deletions least of all")
    func lostDeletion() async throws {
        let gateway = InMemoryGateway()
        let device = try Device("one", gateway)
        let other = try Device("other", gateway)
        for number in 1...3 {
            try device.execute("INSERT INTO users (id, name) VALUES (?, 'a')", [key(number)])
            try await device.sync()
        }
        try await other.sync()
        try device.execute("DELETE FROM users WHERE id = ?", [key(2)])
        try device.execute("UPDATE users SET name = 'b' WHERE id = ?", [key(3)])
        try await device.sync()
        // The server has neither the deletion nor the rows 2 and 3 any more.
        gateway.fork(atSequence: 1)
        try await device.engine.fetchChanges()
        let found = try await comparison(device)
        #expect(found == TableComparison("users", .equal))
        #expect(asked(device, "rows") == 0)
        #expect(try device.count("SELECT count(*) FROM _sync_lost") == 2)
        try await device.engine.sendChanges()
        for device in [other, device, other] { try await device.sync() }
        for device in [device, other] {
            let names = try device.lines("SELECT id, name FROM users ORDER BY id")
            #expect(names == ["\(key(1))|a", "\(key(3))|b"])
        }
        #expect(gateway.rows("users").keys.sorted() == [key(1), key(3)])
    }

    @Test("However many rows differ, the others keep their values, and nothing is read again")
    func manyRows() async throws {
        let device = try await hydrated()
        try await device.database.write { db in
            try SyncEngine.withLocalMigration(in: db) {
                try db.execute(sql: "UPDATE users SET name = 'here alone'")
            }
        }
        try damage(
            device,
            """
            WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n LIMIT 5100)
            INSERT INTO _sync_rows (tbl, key, version, deleted, term)
            SELECT (SELECT min(tbl) FROM _sync_rows), 'lost ' || i, 1, 0, 7 FROM n;
            UPDATE _sync_rows SET version = 0, term = 7 WHERE key = '\(key(2))';
            """)
        let pages = asked(device, "download")
        let found = try await comparison(device)
        #expect(found.outcome == .repaired && found.differingRows == 5101)
        #expect(asked(device, "download") == pages + 1)
        let names = try device.lines("SELECT name FROM users ORDER BY id")
        #expect(names == ["here alone", "n2", "here alone"])
        try await device.sync()
        #expect(device.gateway.rows("users").count == 3)
        let again = try await comparison(device)
        #expect(again == TableComparison("users", .equal))
    }

    @Test("A comparison that the log outgrows is tried again a quarter of an hour later")
    func outgrown() async throws {
        let device = try await hydrated()
        let gateway = device.gateway
        device.clock.advance(seconds: Self.day)
        for number in 10...12 {
            let text = payload(number, "new")
            gateway.next(
                .digest, .holdRequest(until: { gateway.write("users", key(number), text) }))
        }
        try await device.sync()
        try #require(asked(device, "digest") == 3)
        // Only the first request is for the sums of all tables.
        let named = gateway.requests.filter { $0.path.hasSuffix("digest") }.map {
            $0.query["table"] != nil
        }
        #expect(named == [false, true, true])
        try await device.sync()
        #expect(asked(device, "digest") == 3)
        device.clock.advance(seconds: DigestRules.movedInterval + 1)
        try await device.sync()
        #expect(asked(device, "digest") == 4)
    }

    @Test("A row that only wrong books call newer does not go over another device's edit")
    func wrongBooks() async throws {
        let device = try await hydrated(.serverWins)
        try damage(
            device,
            """
            UPDATE users SET name = 'older' WHERE id = '\(key(1))';
            UPDATE _sync_rows SET version = 9, term = 7 WHERE key = '\(key(1))';
            """)
        let found = try await comparison(device)
        #expect(found.differingKeys == [key(1)])
        #expect(try device.queue() == ["UPDATE|1"])
        #expect(try device.count("SELECT count(*) FROM _sync_lost") == 0)
        device.gateway.write("users", key(1), payload(1, "theirs"))
        try await device.sync()
        #expect(device.gateway.rows("users")[key(1)] == payload(1, "theirs"))
        #expect(try device.text("SELECT name FROM users WHERE id = ?", [key(1)]) == "theirs")
        let again = try await comparison(device)
        #expect(again == TableComparison("users", .equal))
    }

    @Test("A sync that has sent everything does not fail if its second fetch does")
    func secondFetch() async throws {
        let device = try await hydrated()
        let gateway = device.gateway
        gateway.storeRows(of: "users") { $0.replacing("odd", with: "even") }
        try device.execute("UPDATE users SET name = 'odd' WHERE id = ?", [key(1)])
        gateway.next(.upload, .holdAnswer(until: { gateway.next(.download, .loseRequest) }))
        device.clock.advance(seconds: 60)
        try await device.sync()
        #expect(try device.queue() == [])
        #expect(device.engine.status.lastSynced == device.clock.now)
        #expect(device.engine.status.lastError == nil)
        try await device.sync()
        #expect(try device.text("SELECT name FROM users WHERE id = ?", [key(1)]) == "even")
    }
}
