import Foundation
import GRDB
import OverSQLiteTestSupport
import SeededRandom
import Testing

@testable import OverSQLite

/// Random edits on devices whose resolvers fail, whose refused edits are given up, and whose tables come and go,
/// with a server that forgets deletes or is restored.
@Suite struct TurbulenceTests {
    /// A handful for each weather; hundreds were run, and more can be at any time.
    static let seeds: ClosedRange<UInt64> = 1...3
    static let edits = 60
    /// Rounds in which everything comes to rest; each may send what the one before made of a conflict.
    private static let lastRounds = 10

    /// What happens to the server meanwhile.
    enum Weather: CaseIterable, Sendable { case calm, forgetful, restored }

    private struct Undecided: Error {}

    /// Settles conflicts at random, or fails to.
    private struct Moods {
        let random: LockedValue<SeededGenerator>
        let mayFail = LockedValue(true)

        init(seed: UInt64) { random = LockedValue(SeededGenerator(seed: seed)) }

        var policy: ConflictPolicy {
            .resolver { [random, mayFail] conflict in
                let mood = random.change { Int.random(in: 0..<9, using: &$0) }
                switch mood {
                case 0: return .server
                case 1: return .client
                case 2: return .delete
                case 3: return .merged(conflict.seven)
                case 4: return .fieldwise(clash: .server, deletion: .deletionWins)
                case 5, 6: return .fieldwise()
                default:
                    if mayFail.value { throw Undecided() }
                    return .fieldwise()
                }
            }
        }
    }

    @Test(
        "whatever resolvers, tables and servers do: in the end all have the same rows",
        arguments: Weather.allCases, seeds)
    func converge(weather: Weather, seed: UInt64) async throws {
        var random = SeededGenerator(seed: seed)
        let gateway = InMemoryGateway()
        let moods = Moods(seed: seed + 1)
        let devices = try ["one", "two", "three"].map { name in
            try Device(name, gateway) { configuration in
                configuration.conflictPolicy = moods.policy
                configuration.pageLimit = 3
                configuration.uploadLimit = 4
            }
        }
        for _ in 0..<Self.edits {
            let device = devices[Int.random(in: 0..<3, using: &random)]
            try ConvergenceTests.edit(device, &random)
            try await ConvergenceTests.disturb(device, gateway, &random)
            try await Self.disturb(device, &random)
            Self.disturb(gateway, weather, &random)
        }
        moods.mayFail.change { $0 = false }
        gateway.clearFaults()
        for device in devices { try device.reopen() }
        for _ in 0..<Self.lastRounds {
            for device in devices {
                device.clock.advance(seconds: RetrySchedule.longest)
                try await device.sync()
                try await Self.decide(device, &random)
            }
        }
        for device in devices { try Self.expectRows(of: gateway, on: device) }
        // P8: whatever happened, no row is reported as different.
        for device in devices {
            let report = try await device.engine.verify(deep: true)
            #expect(report.tables.allSatisfy { $0.differingRows == 0 }, "\(report)")
            #expect(report.tables.allSatisfy { $0.values?.differingRows ?? 0 == 0 }, "\(report)")
            #expect(report.tables.contains { $0.outcome == .equal })
        }
    }

    private static func expectRows(of gateway: InMemoryGateway, on device: Device) throws {
        #expect(try device.queue().isEmpty, "\(device.name)")
        #expect(try device.count("SELECT count(*) FROM _sync_held") == 0, "\(device.name)")
        for table in ["users", "posts"] {
            let keys = try device.lines("SELECT id FROM \(table) ORDER BY id")
            #expect(keys == gateway.rows(table).keys.sorted(), "\(device.name) \(table)")
            for (key, payload) in gateway.rows(table) {
                let local = try ConvergenceTests.localPayload(key, in: table, of: device)
                #expect(local == payload, "\(device.name) \(table)")
            }
        }
    }

    /// Tables come and go, and the app deals with what was refused.
    private static func disturb(_ device: Device, _ random: inout SeededGenerator) async throws {
        switch Int.random(in: 0..<10, using: &random) {
        case 0: try device.reopen(tables: [SyncTable("users")])
        case 1: try device.reopen(tables: [SyncTable("posts")])
        case 2, 3: try device.reopen()
        case 4, 5: try await decide(device, &random)
        case 6: try await compare(device)
        default: break
        }
    }

    /// P8: in the midst of it, too, no row is found to differ.
    private static func compare(_ device: Device) async throws {
        do {
            let report = try await device.engine.verify(deep: true)
            #expect(report.tables.allSatisfy { $0.differingRows == 0 }, "\(report)")
            #expect(report.tables.allSatisfy { $0.values?.differingRows ?? 0 == 0 }, "\(report)")
        } catch is SyncError {}
    }

    private static func decide(_ device: Device, _ random: inout SeededGenerator) async throws {
        for change in try await device.engine.rejectedChanges {
            if Bool.random(using: &random) {
                // A row of this device's own may still need it.
                do { try await device.engine.discard(change) } catch SyncError.database {}
            } else {
                try await device.engine.retry(change)
            }
        }
    }

    private static func disturb(
        _ gateway: InMemoryGateway, _ weather: Weather, _ random: inout SeededGenerator
    ) {
        guard Int.random(in: 0..<12, using: &random) == 0 else { return }
        switch weather {
        case .calm: break
        case .forgetful: gateway.compact()
        case .restored:
            let lost = Int.random(in: 0...4, using: &random)
            gateway.restore(toSequence: max(0, gateway.logCount() - lost))
        }
    }
}

extension Conflict {
    /// A column of numbers, of any table.
    fileprivate var seven: [String: DatabaseValue] {
        [table == "users" ? "age" : "likes": 7.databaseValue]
    }
}
