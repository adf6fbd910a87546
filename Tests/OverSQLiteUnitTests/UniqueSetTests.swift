import Foundation
import GRDB
import OverSQLiteTestSupport
import SeededRandom
import Synchronization
import Testing

@testable import OverSQLite

/// Edits that exchange unique values go in one upload, which the server can apply as a whole.
@Suite struct UniqueSetTests {
    private static func device(limit: Int) throws -> Device {
        try Device(
            schema: """
                CREATE TABLE steps (id TEXT PRIMARY KEY NOT NULL, pos INTEGER, note TEXT);
                CREATE UNIQUE INDEX place ON steps (pos) WHERE note IS NOT 'gone';
                """, tables: [SyncTable("steps")],
            adjust: { $0.uploadLimit = limit })
    }

    /// The row's numbers in each upload.
    private static func sent(_ device: Device, after before: Int) -> [[Int]] {
        device.gateway.uploads.dropFirst(before).map { body in
            body.matches(of: /"pk":"[0-9a-f-]{24}(\d+)"/).compactMap { Int($0.1) }
        }
    }

    private static func filled(_ device: Device, _ count: Int) async throws -> Int {
        for number in 1...count {
            try device.execute(
                "INSERT INTO steps (id, pos) VALUES (?, ?)", [key(number), number])
        }
        try await device.sync()
        return device.gateway.uploads.count
    }

    @Test("a swap goes in one upload, though other rows were edited between")
    func swap() async throws {
        let device = try Self.device(limit: 3)
        let before = try await Self.filled(device, 6)
        try device.execute("UPDATE steps SET note = 'x' WHERE pos IN (5, 6)")
        try device.execute("UPDATE steps SET pos = -1 WHERE pos = 1")
        try device.execute("UPDATE steps SET note = 'y' WHERE pos IN (3, 4)")
        try device.execute("UPDATE steps SET pos = 1 WHERE pos = 2")
        try device.execute("UPDATE steps SET pos = 2 WHERE pos = -1")
        try await device.sync()
        let sent = Self.sent(device, after: before)
        #expect(sent.contains { $0.contains(1) && $0.contains(2) })
        #expect(sent.flatMap { $0 }.sorted() == [1, 2, 3, 4, 5, 6])
        #expect(sent.allSatisfy { $0.count <= 3 })
        #expect(sent.first == [5, 6])
    }

    @Test("a row that takes a deleted one's value goes with the deletion, or after it")
    func deleted() async throws {
        let device = try Self.device(limit: 2)
        let before = try await Self.filled(device, 4)
        try device.execute("UPDATE steps SET pos = NULL WHERE pos IN (3, 4)")
        try device.execute("UPDATE steps SET pos = 50 WHERE pos = 1")
        try device.execute("UPDATE steps SET note = 'x' WHERE pos = 50")
        try device.execute("DELETE FROM steps WHERE pos = 2")
        try device.execute("UPDATE steps SET pos = 2 WHERE pos = 50")
        try await device.sync()
        #expect(Self.sent(device, after: before) == [[3, 4], [1, 2]])
    }

    @Test("a row and the one that it has replaced go in one upload")
    func replaced() async throws {
        let device = try Self.device(limit: 2)
        let before = try await Self.filled(device, 3)
        try device.execute("UPDATE steps SET note = 'x' WHERE pos = 3")
        try device.execute("INSERT OR REPLACE INTO steps VALUES (?, 1, NULL)", [key(9)])
        try await device.sync()
        #expect(Self.sent(device, after: before) == [[3], [9, 1]])
        #expect(device.gateway.rows("steps").keys.sorted() == [2, 3, 9].map(key))
    }

    @Test("a chain that is larger than an upload goes in parts that each find their values free")
    func largeChain() async throws {
        let device = try Self.device(limit: 3)
        let before = try await Self.filled(device, 8)
        try device.execute("UPDATE steps SET pos = -pos")
        try device.execute("UPDATE steps SET pos = -pos + 1")
        try await device.sync()
        #expect(Self.sent(device, after: before) == [[8, 7, 6], [5, 4, 3], [1, 2]])
    }

    @Test("a circle that is larger than an upload is opened by a row that gets another value first")
    func largeCircle() async throws {
        let device = try Self.device(limit: 3)
        let before = try await Self.filled(device, 8)
        try Self.turn(device, 8)
        try await device.sync()
        let sent = Self.sent(device, after: before)
        #expect(sent == [[1, 8, 7], [6, 5, 4], [1, 2, 3]])
        #expect(device.gateway.uploads[before].contains(#""pos":9"#))
        #expect(device.engine.status.pendingCount == 0)
        #expect(try Self.places(device) == [2, 3, 4, 5, 6, 7, 8, 1])
        #expect(device.gateway.rows("steps")[key(1)]?.contains(#""pos":2"#) == true)
        // What comes back of it changes nothing here.
        try await device.sync()
        #expect(try Self.places(device) == [2, 3, 4, 5, 6, 7, 8, 1])
    }

    @Test(
        "an answer that is lost to such a row sends it once more as it is, and no other edit twice")
    func lostAnswer() async throws {
        let device = try Self.device(limit: 3)
        let before = try await Self.filled(device, 5)
        try Self.turn(device, 5)
        device.gateway.next(.upload, .loseAnswer)
        await #expect(throws: SyncError.self) { try await device.sync() }
        try device.execute("UPDATE steps SET note = 'late' WHERE id = ?", [key(1)])
        for _ in 1...3 { try await device.sync() }
        #expect(device.engine.status.pendingCount == 0)
        #expect(try Self.places(device) == [2, 3, 4, 5, 1])
        let rows = device.gateway.rows("steps")
        for number in 1...5 {
            #expect(rows[key(number)]?.contains(#""pos":\#(number % 5 + 1)"#) == true)
        }
        #expect(rows[key(1)]?.contains("late") == true)
        #expect(Self.sent(device, after: before).allSatisfy { $0.count <= 3 })
    }

    @Test("what such a row has on the server is known, though it was sent as it is and edited, too")
    func editInFlight() async throws {
        let device = try Self.device(limit: 8)
        let before = try await Self.filled(device, 5)
        try Self.turn(device, 5)
        // All five together, which the server never gets; then too many for one upload.
        device.gateway.next(.upload, .loseRequest)
        await #expect(throws: SyncError.self) { try await device.sync() }
        device.engine.session.pacer.withLock { $0.shrink(sent: 5) }
        device.gateway.next(
            .upload,
            .holdAnswer(
                until: device.writing("UPDATE steps SET note = 'mine' WHERE id = '\(key(1))'")))
        device.gateway.next(.upload, .loseRequest)
        await #expect(throws: SyncError.self) { try await device.sync() }
        #expect(Self.sent(device, after: before).dropFirst().first == [1, 5])
        #expect(device.gateway.rows("steps")[key(1)]?.contains(#""pos":6"#) == true)
        // Another device edits the row meanwhile, and leaves it in its other place.
        device.gateway.write("steps", key(1), #"{"id":"\#(key(1))","pos":6,"note":"theirs"}"#)
        for _ in 1...3 { try await device.sync() }
        #expect(device.engine.status.pendingCount == 0)
        #expect(try Self.places(device) == [2, 3, 4, 5, 1])
        #expect(device.gateway.rows("steps")[key(1)]?.contains(#""pos":2"#) == true)
    }

    @Test("a row that is due is sent, though more refused rows than are looked at stand before it")
    func dueBehindRefused() async throws {
        let device = try Self.device(limit: 3)
        _ = try await Self.filled(device, 2)
        device.gateway.refuse("steps", key(1), reason: "materialize_error")
        try device.execute("UPDATE steps SET note = 'x' WHERE pos = 1")
        try await device.sync()
        #expect(device.engine.status.rejectedCount == 1)
        device.gateway.refuse("steps", key(1), reason: nil)
        device.clock.advance(seconds: RetrySchedule.longest)
        let notDue = device.clock.now.timeIntervalSince1970 + 60
        try await device.database.write { db in
            try db.execute(
                sql: "UPDATE _sync_pending SET seq = seq + ?",
                arguments: [UniqueSets.longestLookahead])
            try db.execute(
                sql: """
                    WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ?)
                    INSERT INTO _sync_pending
                        (seq, tbl, key, local, op, base, revision, reason, retry_at)
                    SELECT i, tbl, printf('00000000-0000-4000-9000-%012d', i),
                        printf('00000000-0000-4000-9000-%012d', i), op, 1, i, reason, ?
                    FROM n, _sync_pending
                    """, arguments: [UniqueSets.longestLookahead, notDue])
        }
        try await device.sync()
        #expect(device.gateway.rows("steps")[key(1)]?.contains(#""note":"x""#) == true)
        #expect(device.engine.status.rejectedCount == UniqueSets.longestLookahead)
    }

    @Test("a row whose other value the server refuses gets another one at the next try")
    func refusedStandIn() async throws {
        let device = try Self.device(limit: 3)
        let before = try await Self.filled(device, 8)
        try Self.turn(device, 8)
        device.gateway.refuse("steps", key(1), reason: "materialize_error")
        try await device.sync()
        // It waits like any other row that was refused.
        #expect(device.engine.status.rejectedCount == 1)
        #expect(device.gateway.uploads[before].contains(#""pos":9"#))
        device.gateway.refuse("steps", key(1), reason: nil)
        device.clock.advance(seconds: 3600)
        try await device.sync()
        #expect(device.engine.status.pendingCount == 0)
        #expect(try Self.places(device) == [2, 3, 4, 5, 6, 7, 8, 1])
    }

    @Test("each attempt has another value: beyond all numbers, before them, NULL")
    func standIns() async throws {
        let device = try Self.device(limit: 3)
        _ = try await Self.filled(device, 8)
        try Self.turn(device, 8)
        let catalog = device.engine.session.catalog
        let places = try await device.database.write { db in
            try ChangeLog(db: db, catalog: catalog).fold()
            let table = try #require(catalog.table(wireName: "steps"))
            let queue = PendingQueue(db: db)
            var row = try #require(try queue.row(table, DeviceRowKey(wire: key(1))))
            let sets = UniqueSets(db: db, catalog: catalog)
            return try (0...3).map { attempts in
                row.attempts = attempts
                let standIn = StandInRow(sets: sets, row: row, indexes: [0])
                return try standIn.values(number: Int64(attempts))?["pos"]
            }
        }
        #expect(places == [9.databaseValue, (-1).databaseValue, 0.databaseValue, .null])
    }

    /// Each row takes the place of the next one, and the last that of the first.
    private static func turn(_ device: Device, _ count: Int) throws {
        try device.execute("UPDATE steps SET pos = -pos")
        try device.execute("UPDATE steps SET pos = -pos % ? + 1", [count])
    }

    private static func places(_ device: Device) throws -> [Int] {
        try device.database.read {
            try Int.fetchAll($0, sql: "SELECT pos FROM steps ORDER BY id")
        }
    }

    @Test("numbers that are joined are one set, at the place of the smallest")
    func disjointSets() {
        var sets = DisjointSets(count: 6)
        sets.join(4, 1)
        sets.join(5, 3)
        sets.join(1, 5)
        #expect(sets.sets == [[0], [1, 3, 4, 5], [2]])
    }
}

@Suite struct SendOrderTests {
    private static func steps(_ waits: [Set<Int>], without: Set<Int> = []) -> [SendOrder.Step] {
        SendOrder.steps(waits) { !without.contains($0) }
    }

    @Test("rows follow those whose values they take, else in the order of the queue")
    func chains() {
        #expect(Self.steps([[], [], []]) == [.whole(0), .whole(1), .whole(2)])
        #expect(Self.steps([[1], [2], []]) == [.whole(2), .whole(1), .whole(0)])
        #expect(Self.steps([[1, 2], [], [1]]) == [.whole(1), .whole(2), .whole(0)])
        // A row may take a value of its own in another index.
        #expect(Self.steps([[0]]) == [.whole(0)])
    }

    @Test("each circle is opened by its first row that can stand aside")
    func circles() {
        #expect(Self.steps([[1], [0]]) == [.standIn(0), .whole(1)])
        #expect(
            Self.steps([[1], [2], [1], [4], [3]], without: [1])
                == [.standIn(2), .whole(1), .whole(0), .standIn(3), .whole(4)])
        #expect(Self.steps([[1], [0]], without: [0, 1]) == [.whole(0), .whole(1)])
    }

    @Test("whatever waits for whatever: each row is there once, behind what it waits for")
    func random() {
        var numbers = SeededGenerator(seed: 7)
        for _ in 1...300 {
            let count = Int.random(in: 1...12, using: &numbers)
            let waits = (0..<count).map { _ in
                Set(
                    (0..<Int.random(in: 0...2, using: &numbers)).map { _ in
                        Int.random(in: 0..<count, using: &numbers)
                    })
            }
            let steps = Self.steps(waits)
            #expect(steps.map(\.place).sorted() == Array(0..<count))
            var left: Set<Int> = []
            for step in steps {
                if case .whole(let place) = step {
                    #expect(waits[place].subtracting([place]).isSubset(of: left))
                }
                left.insert(step.place)
            }
        }
    }
}
