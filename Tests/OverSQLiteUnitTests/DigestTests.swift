import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Promise P8: a device proves that it was told what the server's log says, and repairs what it was
/// not told.
@Suite("P8: a device compares its rows with the server's")
struct DigestTests {
    private static let day = 86_401.0

    private func payload(_ number: Int, _ name: String) -> String {
        #"{"id":"\#(key(number))","name":"\#(name)","age":null}"#
    }

    /// The last digit of a key and the name, for each row here.
    private func rows(_ device: Device) throws -> [String] {
        try device.lines("SELECT id, name FROM users ORDER BY id").map {
            String($0.dropFirst(34))
        }
    }

    /// A device that has read rows 1 to `count` of the server's.
    private func hydrated(_ count: Int = 9) async throws -> Device {
        let device = try Device()
        for number in 1...count {
            device.gateway.write("users", key(number), payload(number, "n\(number)"))
        }
        try await device.sync()
        return device
    }

    private func asked(_ device: Device, _ path: String) -> Int {
        device.gateway.requests.filter { $0.path.hasSuffix(path) }.count
    }

    private func comparison(
        _ device: Device, _ table: String = "users"
    ) async throws -> TableComparison {
        let report = try await device.engine.verify()
        return try #require(report.tables.first { $0.table == table })
    }

    /// Expects that nothing differs.
    private func expectEqual(_ device: Device, _ what: String = "") async throws {
        let found = try await comparison(device)
        #expect(found == TableComparison("users", .equal), "\(what)")
    }

    @Test("Equal rows cost one request, and no events")
    func equal() async throws {
        let device = try await hydrated()
        try await expectEqual(device)
        #expect(asked(device, "digest") == 1)
        #expect(asked(device, "rows") == 0)
        device.gateway.write("users", key(3), payload(3, "new"))
        device.gateway.write("users", key(4), nil)
        device.gateway.write("users", key(5), nil)
        device.gateway.write("users", key(5), payload(5, "back"))
        try await expectEqual(device, "edits, a deletion and a row that comes back")
        #expect(asked(device, "digest") == 2)
    }

    @Test("Rows that the device wrote itself take the server's term once, and are equal then")
    func ownWrites() async throws {
        let device = try await hydrated()
        try device.execute("UPDATE users SET name = 'own' WHERE id = ?", [key(2)])
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'new')", [key(20)])
        try device.execute("DELETE FROM users WHERE id = ?", [key(3)])
        try await device.sync()
        try await expectEqual(device)
        #expect(asked(device, "digest") == 3)
        #expect(try device.count("SELECT count(*) FROM _sync_rows WHERE term IS NULL") == 1)
        try await expectEqual(device)
        #expect(asked(device, "digest") == 4)
        #expect(asked(device, "rows") == 0)
    }

    @Test("Pending edits do not count, and stay")
    func pending() async throws {
        let device = try await hydrated()
        try device.execute("UPDATE users SET name = 'mine' WHERE id = ?", [key(2)])
        try device.execute("DELETE FROM users WHERE id = ?", [key(3)])
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'new')", [key(20)])
        try await expectEqual(device)
        #expect(try device.queue() == ["UPDATE|1", "DELETE|1", "INSERT|0"])
    }

    @Test("A change in doubt is no difference, whether the server has it or not")
    func inDoubt() async throws {
        let device = try await hydrated()
        for fault in [NetworkFault.loseAnswer, .loseRequest] {
            try device.execute("UPDATE users SET name = name || 'x'")
            device.gateway.next(.upload, fault)
            await #expect(throws: SyncError.self) { try await device.sync() }
            let report = try await device.engine.verify()
            #expect(report.tables.allSatisfy { $0.differingRows == 0 }, "\(report)")
            try await device.sync()
            try await expectEqual(device)
        }
    }

    @Test("Held rows count as what the device was told")
    func held() async throws {
        let device = try await hydrated(2)
        device.gateway.write(
            "posts", key(7), #"{"id":"\#(key(7))","user_id":"\#(key(9))","title":"orphan"}"#)
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM _sync_held") == 1)
        #expect(try await comparison(device, "posts") == TableComparison("posts", .equal))
    }

    @Test("What the server has stored of an own change counts")
    func stored() async throws {
        let device = try await hydrated(2)
        device.gateway.storeRows(of: "users") { $0.replacing("odd", with: "even") }
        try device.execute("UPDATE users SET name = 'odd'")
        try await device.sync()
        try await device.sync()
        try await expectEqual(device)
        #expect(try rows(device) == ["01|even", "02|even"])
        #expect(asked(device, "rows") == 0)
    }

    /// What is done to the books and rows of the device, and what must come of it.
    struct Damage: Sendable, CustomStringConvertible {
        let description: String
        let sql: String
    }

    private static let damages = [
        Damage(
            description: "a row was missed",
            sql: """
                DELETE FROM users WHERE id = '\(key(4))';
                DELETE FROM _sync_rows WHERE key = '\(key(4))';
                """),
        Damage(
            description: "an old version is here",
            sql: """
                UPDATE users SET name = 'old' WHERE id = '\(key(4))';
                UPDATE _sync_rows SET version = 1, term = 5 WHERE key = '\(key(4))';
                """),
        Damage(
            description: "another row is here under the same version",
            sql: """
                UPDATE users SET name = 'other' WHERE id = '\(key(4))';
                UPDATE _sync_rows SET term = term + 1 WHERE key = '\(key(4))';
                """),
        Damage(
            description: "a row was taken for deleted",
            sql: """
                DELETE FROM users WHERE id = '\(key(4))';
                UPDATE _sync_rows SET deleted = 1, version = 9, term = NULL
                WHERE key = '\(key(4))';
                """),
        Damage(
            description: "the row is gone, and its version is too high",
            sql: """
                DELETE FROM users WHERE id = '\(key(4))';
                UPDATE _sync_rows SET version = 9, term = 5 WHERE key = '\(key(4))';
                """),
    ]

    /// Changes tables as nothing but a fault does: without a trace in the log.
    private func damage(_ device: Device, _ sql: String) throws {
        try device.database.write { db in
            try ApplyMode(db: db).during {
                try db.execute(sql: sql)
                try db.execute(
                    sql: """
                        UPDATE _sync_state SET folded = (
                          SELECT coalesce(max(seq), 0) FROM _sync_log)
                        """)
            }
        }
    }

    @Test(
        "A row that differs is found, reported, and fetched; no other is", arguments: damages)
    func repairs(_ damage: Damage) async throws {
        let device = try await hydrated(40)
        device.gateway.write("users", key(4), payload(4, "newest"))
        try await device.sync()
        try await expectEqual(device)
        let events = device.engine.events
        try self.damage(device, damage.sql)
        let found = try await comparison(device)
        let expected = TableComparison("users", .repaired, differing: [.init(wire: key(4))])
        try #require(found == expected)
        var iterator = events.makeAsyncIterator()
        var drift: DriftReport?
        while drift == nil, let event = await iterator.next() {
            if case .drift(let report) = event { drift = report }
        }
        #expect(drift == DriftReport(table: "users", rows: 1, repaired: 1))
        #expect(try device.text("SELECT name FROM users WHERE id = ?", [key(4)]) == "newest")
        #expect(try device.queue() == [])
        let bodies = device.gateway.requests.filter { $0.path.hasSuffix("rows") }.map(\.body)
        #expect(bodies.count == 1 && bodies[0].contains(key(4)) && !bodies[0].contains(key(5)))
        let listed = device.gateway.requests.compactMap { $0.query["bucket"] }
        #expect(listed.count == 1 && !listed[0].contains(","))
        try await expectEqual(device, "repaired")
    }

    @Test("A row that only the device has is sent again, and one that the server deleted goes")
    func onlyHere() async throws {
        let device = try await hydrated(3)
        device.gateway.write("users", key(3), nil)
        try await device.sync()
        try damage(
            device,
            """
            INSERT INTO users (id, name) VALUES ('\(key(20))', 'alone'), ('\(key(3))', 'n3');
            INSERT INTO _sync_rows (tbl, key, version, deleted, term)
            SELECT tbl, '\(key(20))', 4, 0, 7 FROM _sync_rows WHERE key = '\(key(1))';
            UPDATE _sync_rows SET version = 1, deleted = 0, term = 7 WHERE key = '\(key(3))';
            """)
        let found = try await comparison(device)
        #expect(found.differingKeys == [key(3), key(20)])
        #expect(try device.queue().count == 1)
        try await device.sync()
        #expect(device.gateway.rows("users").keys.sorted() == [key(1), key(2), key(20)])
        #expect(
            try device.lines("SELECT id FROM users ORDER BY id") == [key(1), key(2), key(20)])
        try await expectEqual(device)
    }

    @Test("A row that is newer here than the server has it is sent again, and deletes nothing")
    func newerHere() async throws {
        let device = try await hydrated(3)
        device.gateway.write("users", key(3), nil)
        try await device.sync()
        try damage(
            device,
            """
            UPDATE users SET name = 'later' WHERE id = '\(key(1))';
            UPDATE _sync_rows SET version = 5, term = 7 WHERE key = '\(key(1))';
            INSERT INTO users (id, name) VALUES ('\(key(3))', 'kept');
            UPDATE _sync_rows SET version = 2, deleted = 0, term = 7 WHERE key = '\(key(3))';
            """)
        let found = try await comparison(device)
        #expect(found.differingKeys == [key(1), key(3)])
        try await device.sync()
        let names = device.gateway.rows("users").mapValues {
            $0.contains("later") || $0.contains("kept")
        }
        #expect(names == [key(1): true, key(2): false, key(3): true])
        try await expectEqual(device)
    }

    @Test("An unsent edit of a row that differs is kept, and meets the server's row as a conflict")
    func editOfDrifted() async throws {
        let device = try await hydrated(3)
        device.gateway.write("users", key(2), payload(2, "n2"))
        try await device.sync()
        try damage(
            device,
            """
            UPDATE users SET name = 'old' WHERE id = '\(key(2))';
            UPDATE _sync_rows SET version = 1, term = 7 WHERE key = '\(key(2))';
            """)
        try device.execute("UPDATE users SET age = 7 WHERE id = ?", [key(2)])
        let found = try await comparison(device)
        #expect(found.differingKeys == [key(2)])
        #expect(try device.count("SELECT age FROM users WHERE id = '\(key(2))'") == 7)
        try await device.sync()
        #expect(device.gateway.rows("users")[key(2)]?.contains(#""age":7"#) == true)
        #expect(device.gateway.rows("users")[key(2)]?.contains(#""name":"n2""#) == true)
        try await expectEqual(device)
    }

    @Test("Rows of an older format are no differences; they take the server's terms once")
    func olderFormat() async throws {
        let device = try await hydrated(30)
        try device.execute(
            """
            ALTER TABLE _sync_rows DROP COLUMN term; ALTER TABLE _sync_held DROP COLUMN term;
            ALTER TABLE _sync_state DROP COLUMN compared_at; UPDATE _sync_state SET format = 8;
            """)
        try device.reopen()
        #expect(try device.count("SELECT format FROM _sync_state") == MetadataTables.format)
        try await expectEqual(device)
        #expect(try device.count("SELECT count(*) FROM _sync_rows WHERE term IS NULL") == 0)
        #expect(asked(device, "rows") == 0)
        let before = asked(device, "digest")
        try await expectEqual(device)
        #expect(asked(device, "digest") == before + 1)
    }

    @Test("The engine compares by itself, at most once a day")
    func daily() async throws {
        let device = try await hydrated(3)
        try await device.sync()
        #expect(asked(device, "digest") == 0)
        device.clock.advance(seconds: Self.day)
        try damage(device, "UPDATE _sync_rows SET term = 7 WHERE key = '\(key(1))'")
        let events = device.engine.events
        try await device.sync()
        try #require(asked(device, "rows") == 1)
        let drift = await events.first { if case .drift = $0 { true } else { false } }
        #expect(drift == .drift(DriftReport(table: "users", rows: 1, repaired: 1)))
        let before = asked(device, "digest")
        try await device.sync()
        device.clock.advance(seconds: 3600)
        try await device.sync()
        #expect(asked(device, "digest") == before)
        device.clock.advance(seconds: Self.day)
        try await device.sync()
        #expect(asked(device, "digest") == before + 1)
    }

    @Test("A comparison that fails fails no fetch, and is tried again later")
    func failing() async throws {
        let device = try await hydrated(3)
        device.clock.advance(seconds: Self.day)
        device.gateway.next(.digest, .loseRequest)
        try await device.sync()
        try await device.sync()
        #expect(asked(device, "digest") == 1)
        device.clock.advance(seconds: DigestRules.retryInterval + 1)
        try await device.sync()
        #expect(asked(device, "digest") == 2)
    }

    @Test("A log that grows between the requests is read, and compared as it is then")
    func growing() async throws {
        let device = try await hydrated(3)
        let gateway = device.gateway
        let text = payload(1, "meanwhile")
        gateway.next(.digest, .holdAnswer(until: {}))
        try await expectEqual(device)
        gateway.next(
            .digest, .holdRequest(until: { gateway.write("users", key(1), text) }))
        try await expectEqual(device)
        #expect(try rows(device).first?.hasSuffix("meanwhile") == true)
    }

    @Test("An older server has nothing to compare with")
    func olderServer() async throws {
        let device = try Device()
        device.gateway.actLikeOlderServer()
        device.gateway.write("users", key(1), payload(1, "a"))
        let found = try await comparison(device)
        #expect(found == TableComparison("users", .notCompared))
        #expect(asked(device, "digest") == 0)
    }

    @Test("Many comparisons of rows that are edited on both sides find nothing")
    func quiet() async throws {
        let gateway = InMemoryGateway()
        let devices = try ["one", "two"].map { try Device($0, gateway) }
        for round in 1...40 {
            let device = devices[round % 2]
            try device.execute(
                """
                INSERT INTO users (id, name) VALUES ('\(key(round))', 'é\(round)');
                UPDATE users SET name = name || '\\"', age = \(round)
                WHERE id IN (SELECT id FROM users ORDER BY id LIMIT 1 OFFSET \(round % 3));
                DELETE FROM users WHERE id = '\(key(round - 9))';
                """)
            try await device.sync()
            gateway.write("users", key(100 + round % 5), payload(100 + round % 5, "\(round)"))
            for device in devices { try await expectEqual(device, "round \(round)") }
        }
        #expect(devices.allSatisfy { asked($0, "rows") == 0 })
    }
}
