import Foundation
import ServerModel
import Testing

/// The real services on a real PostgreSQL against the model, step by step (promises P2 to P6).
@Suite("Model checking")
struct ModelTests {
    static let seeds: [UInt64] = {
        let environment = ProcessInfo.processInfo.environment
        if let one = environment["OVERSYNC_MODEL_SEED"].flatMap({ UInt64($0) }) { return [one] }
        let count =
            environment["OVERSYNC_MODEL_SEEDS"].flatMap { Int($0) } ?? HistoryPlan.usualSeeds
        return (1...UInt64(max(1, count))).map { $0 }
    }()

    @Test(
        "S4, S20: every history of uploads and plain SQL gives the answers and the feed of the model",
        arguments: seeds)
    func history(seed: UInt64) async throws {
        try await compare(seed, ModelKeys.uuids)
    }

    @Test("S4, S20: the same of tables whose keys are numbers", arguments: seeds)
    func historyOfNumbers(seed: UInt64) async throws {
        // Other histories than those of uuids, not the same once more.
        try await compare(seed + 1_000_000, ModelKeys.integers)
    }

    private func compare(_ seed: UInt64, _ keys: ModelKeys) async throws {
        let history = RandomHistory(seed: seed, steps: HistoryPlan.stepsPerSeed).steps
        guard let difference = try await Self.firstDifference(history, keys) else { return }
        let short = try await HistoryShrinking.shrink(Array(history.prefix(difference.step + 1))) {
            try await Self.firstDifference($0, keys) != nil
        }
        let last = try await Self.firstDifference(short, keys)
        Issue.record(
            """
            seed \(seed), \(keys), step \(difference.step): \(last?.text ?? difference.text)
            \(short.map(\.description).joined(separator: "\n"))
            """)
    }

    struct Difference {
        let step: Int
        let text: String
    }

    private static func firstDifference(
        _ history: [RandomHistory.Step], _ keys: ModelKeys
    ) async throws -> Difference? {
        var found: Difference?
        try await SyncedDatabase.with(
            tables: keys.schema, registered: ModelServer.registrations
        ) { database in
            var comparison = ModelComparison(database: database, keys: keys)
            for (number, step) in history.enumerated() {
                if let text = try await comparison.take(step) {
                    found = Difference(step: number, text: text)
                    return
                }
            }
            if let text = try await comparison.differenceOfPages() {
                found = Difference(step: history.count - 1, text: text)
                return
            }
            if let text = try await database.differenceOfDigests() {
                found = Difference(step: history.count - 1, text: text)
                return
            }
            let flaws = try await database.verify().0
            if !flaws.isEmpty {
                found = Difference(step: history.count - 1, text: "verify: \(flaws)")
            }
        }
        return found
    }
}
