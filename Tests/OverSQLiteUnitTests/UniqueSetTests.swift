import Foundation
import GRDB
import OverSQLiteTestSupport
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

    @Test("a set that is larger than an upload is divided, and everything is sent")
    func tooLarge() async throws {
        let device = try Self.device(limit: 3)
        let before = try await Self.filled(device, 8)
        try device.execute("UPDATE steps SET pos = -pos")
        try device.execute("UPDATE steps SET pos = -pos % 8 + 1")
        try await device.sync()
        let sent = Self.sent(device, after: before)
        #expect(sent.flatMap { $0 }.sorted() == Array(1...8))
        #expect(sent.allSatisfy { $0.count <= 3 })
        #expect(device.engine.status.pendingCount == 0)
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
