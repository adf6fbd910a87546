import GRDB
import OverSQLiteTestSupport
import SeededRandom
import Testing

@testable import OverSQLite

/// Random edits while tables are closed and opened, with lost answers and crashes.
@Suite struct TableRightsWalkTests {
    private static let steps = 60
    private struct Walk {
        let gateway: InMemoryGateway
        let devices: [Device]
        var random: SeededGenerator
        var closed: Set<String> = []

        mutating func number(_ range: Range<Int>) -> Int { Int.random(in: range, using: &random) }

        mutating func step() async throws {
            let device = devices[number(0..<devices.count)]
            let table = ["users", "posts"][number(0..<2)]
            let key = key(number(1..<6) + (table == "posts" ? 10 : 0))
            switch number(0..<16) {
            case 0: gateway.close(table); closed.insert(table)
            case 1, 2: gateway.open(table); closed.remove(table)
            case 3, 4, 5: try edit(device, table, key)
            case 6: try device.execute("DELETE FROM \(table) WHERE id = ?", [key])
            case 7: gateway.compact()
            case 8: try device.reopen()
            case 9: gateway.next(.download, .loseAnswer)
            case 10: gateway.next(.upload, .loseAnswer)
            case 11: gateway.next(.capabilities, .loseRequest)
            default: try? await device.sync()
            }
        }

        private mutating func edit(_ device: Device, _ table: String, _ key: String) throws {
            let (value, parent) = (number(0..<100), Self.parents[number(0..<Self.parents.count)])
            if table == "users" {
                return try device.execute(
                    """
                    INSERT INTO users (id, name) VALUES (:key, :value)
                    ON CONFLICT (id) DO UPDATE SET name = excluded.name
                    """, ["key": key, "value": value])
            }
            try device.execute(
                """
                INSERT INTO posts (id, user_id, likes)
                VALUES (:key, (SELECT min(id) FROM users WHERE id >= :parent), :value)
                ON CONFLICT (id) DO UPDATE SET likes = excluded.likes
                """, ["key": key, "value": value, "parent": OverSQLiteUnitTests.key(parent)])
        }

        private static let parents = [1, 3, 5]
    }

    @Test(
        "whatever is closed and opened meanwhile: in the end all have the gateway's rows",
        arguments: 1...12 as ClosedRange<UInt64>)
    func walk(seed: UInt64) async throws {
        let gateway = InMemoryGateway(tables: TableRightsTests.tables)
        let devices = try ["one", "two"].map { name in
            try Device(name, gateway) { $0.pageLimit = 2 }
        }
        var walk = Walk(gateway: gateway, devices: devices, random: SeededGenerator(seed: seed))
        for _ in 0..<Self.steps { try await walk.step() }
        gateway.clearFaults()
        try await expectClosed(walk, seed)
        for table in ["users", "posts"] { gateway.open(table) }
        for _ in 0..<8 {
            for device in devices {
                device.clock.advance(seconds: RetrySchedule.longest)
                try await device.sync()
            }
        }
        for device in devices {
            #expect(try device.queue() == [], "seed \(seed), \(device.name)")
            for table in ["users", "posts"] {
                let here = try device.lines("SELECT id FROM \(table) ORDER BY id")
                #expect(here == gateway.rows(table).keys.sorted(), "seed \(seed), \(device.name)")
            }
            let report = try await device.engine.verify(deep: true)
            #expect(report.isEqual, "seed \(seed), \(device.name): \(report)")
        }
    }

    /// Of closed tables, devices have nothing but edits and what these refer to.
    private func expectClosed(_ walk: Walk, _ seed: UInt64) async throws {
        for device in walk.devices {
            device.clock.advance(seconds: RetrySchedule.longest)
            for _ in 0..<3 { try await device.sync() }
            for table in walk.closed {
                let strange = try device.lines(
                    """
                    SELECT t.id FROM \(table) t WHERE NOT EXISTS (
                      SELECT 1 FROM _sync_pending p WHERE p.key = t.id)
                    \(table == "users"
                        ? "AND t.id NOT IN (SELECT user_id FROM posts WHERE user_id IS NOT NULL)"
                        : "")
                    """)
                #expect(strange == [], "seed \(seed), \(device.name), \(table)")
            }
        }
    }
}
