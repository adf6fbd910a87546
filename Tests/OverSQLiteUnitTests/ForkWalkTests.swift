import Foundation
import GRDB
import OverSQLiteTestSupport
import SeededRandom
import Testing

@testable import OverSQLite

/// Random walks of devices before a server that is restored again and again, to before what it has
/// acknowledged: with and without a new epoch, several times in a row, in the midst of a device's
/// way back, and while a device compares its rows.
@Suite struct ForkWalkTests {
    /// A handful; more can be run at any time.
    static let seeds: ClosedRange<UInt64> = 1...8
    private static let steps = 80
    private static let names = ["one", "two", "three"]
    /// Rounds in which everything comes to rest.
    private static let lastRounds = 6
    /// Seconds that pass for a device between two steps: none, a moment, and longer than the pause
    /// between two rereads.
    private static let pauses = [0, 0, 0, 5, HistoryRules.pause + 1]

    /// Rows that a device writes and nobody else: what they must be in the end is known.
    private struct Walker {
        let device: Device
        var rows: [String: String] = [:]
        var number = 0

        mutating func write(_ random: inout SeededGenerator) throws {
            number += 1
            let text = "\(device.name) \(number)"
            if let row = rows.keys.sorted().randomElement(using: &random),
                Bool.random(using: &random)
            {
                rows[row] = text
                return try device.execute("UPDATE users SET name = ? WHERE id = ?", [text, row])
            }
            let row = UUID.random(using: &random)
            rows[row] = text
            try device.execute("INSERT INTO users (id, name) VALUES (?, ?)", [row, text])
        }

        /// Rows that the app has got from others, or given to them, may go too.
        mutating func delete(_ random: inout SeededGenerator) throws {
            guard let row = rows.keys.sorted().randomElement(using: &random) else { return }
            rows[row] = nil
            try device.execute("DELETE FROM users WHERE id = ?", [row])
        }

        func shown() throws -> [String: String] {
            let pairs = try device.database.read { db in
                try Row.fetchAll(db, sql: "SELECT id, name FROM users").map {
                    ($0[0] as String, $0[1] as String)
                }
            }
            return Dictionary(uniqueKeysWithValues: pairs)
        }
    }

    /// What befalls the server.
    enum Weather: CaseIterable, Sendable {
        /// Nobody deletes, and no answer is lost: each row must be there in the end, as its device
        /// wrote it last.
        case growing
        /// Rows are deleted, which a restore may undo.
        case deleting
        /// Logs are compacted, too, so that a device's pair may not be there to be compared.
        case compacted
    }

    @Test(
        "P7 P8: however often a server is restored, nothing is lost in silence, and all end equal",
        arguments: Weather.allCases, seeds)
    func walk(weather: Weather, seed: UInt64) async throws {
        var random = SeededGenerator(seed: seed)
        let gateway = InMemoryGateway()
        var walkers = try Self.names.map { name in
            Walker(
                device: try Device(name, gateway) {
                    $0.pageLimit = 3
                    $0.uploadLimit = 4
                })
        }
        let oldest = LockedValue(0)
        for _ in 0..<Self.steps {
            let place = Int.random(in: 0..<walkers.count, using: &random)
            let device = walkers[place].device
            device.clock.advance(seconds: Self.pauses.randomElement(using: &random) ?? 0)
            if weather != .growing, Int.random(in: 0..<8, using: &random) == 0 {
                try walkers[place].delete(&random)
            } else {
                try walkers[place].write(&random)
            }
            try await Self.exchange(device, gateway, weather, &random) {
                Self.disturb(gateway, weather, oldest, &$0)
            }
            Self.disturb(gateway, weather, oldest, &random)
        }
        gateway.clearFaults()
        for _ in 0..<Self.lastRounds {
            for walker in walkers {
                walker.device.clock.advance(seconds: RetrySchedule.longest)
                try await walker.device.sync()
            }
        }
        let first = try walkers[0].shown()
        #expect(Set(gateway.rows("users").keys) == Set(first.keys))
        for walker in walkers {
            #expect(try walker.shown() == first, "\(walker.device.name)")
            #expect(try walker.device.queue().isEmpty)
            let report = try await walker.device.engine.verify(deep: true)
            #expect(report.tables.allSatisfy { $0.differingRows == 0 }, "\(report)")
            #expect(report.tables.contains { $0.outcome == .equal }, "\(report)")
            let told = try await walker.device.engine.settledConflicts
            for (row, text) in walker.rows where weather != .compacted && first[row] != text {
                // Where an answer was lost, others may know what the device does not know to be
                // confirmed, under the number of what it wrote then. Such a loss is reported.
                #expect(
                    weather != .growing
                        && told.contains { $0.key == row && $0.lost["name"] == text.databaseValue },
                    "\(text): \(gateway.log().filter { $0.pk == row })")
            }
        }
    }

    /// Something that a device does with the server, which may be restored in the midst of it.
    private static func exchange(
        _ device: Device, _ gateway: InMemoryGateway, _ weather: Weather,
        _ random: inout SeededGenerator,
        _ strike: @escaping @Sendable (inout SeededGenerator) -> Void
    ) async throws {
        let endpoints: [GatewayEndpoint] = [.upload, .download, .digest, .bootstrap]
        let endpoint = endpoints.randomElement(using: &random) ?? .upload
        var inner = SeededGenerator(seed: random.next())
        switch Int.random(in: 0..<6, using: &random) {
        case 0 where weather != .growing: gateway.next(endpoint, .loseAnswer)
        case 1: gateway.next(endpoint, .loseRequest)
        case 2:
            let generator = LockedValue(inner)
            gateway.next(endpoint, .holdAnswer { generator.change { strike(&$0) } })
        default: break
        }
        do {
            switch Int.random(in: 0..<8, using: &inner) {
            case 0: try await device.engine.fetchChanges()
            case 1: try await device.engine.sendChanges()
            case 2:
                let report = try await device.engine.verify(deep: true)
                #expect(report.tables.allSatisfy { $0.differingRows == 0 }, "\(report)")
            case 3: try device.reopen()
            case 4, 5, 6: try await device.sync()
            default: break
            }
        } catch is SyncError {}
    }

    private static func disturb(
        _ gateway: InMemoryGateway, _ weather: Weather, _ oldest: LockedValue<Int>,
        _ random: inout SeededGenerator
    ) {
        let end = gateway.logCount()
        let first = min(oldest.value, end)
        switch Int.random(in: 0..<14, using: &random) {
        // The model of the server forgets what a compacted log was before.
        case 0: gateway.fork(atSequence: Int.random(in: first...end, using: &random))
        case 1: gateway.restore(toSequence: Int.random(in: first...end, using: &random))
        case 2 where weather == .compacted:
            gateway.compact()
            oldest.change { $0 = end }
        default: break
        }
    }
}

extension UUID {
    fileprivate static func random(using generator: inout SeededGenerator) -> String {
        withUnsafeBytes(of: (generator.next(), generator.next())) {
            UUID(uuid: $0.loadUnaligned(as: uuid_t.self)).uuidString.lowercased()
        }
    }
}
