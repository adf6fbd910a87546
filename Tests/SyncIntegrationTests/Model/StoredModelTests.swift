import Foundation
import ServerModel
import Testing

extension ModelTests {
    private static let storedSeeds =
        seeds.count == HistoryPlan.usualSeeds
        ? Array(seeds.prefix(HistoryPlan.usualStoredSeeds)) : seeds

    @Test(
        "P4, P5: with unique values, defaults and lossy columns, all answers are the model's",
        arguments: storedSeeds)
    func storedRows(seed: UInt64) async throws {
        let history = StoredHistory(seed: seed, steps: HistoryPlan.storedStepsPerSeed)
        #expect(
            history.flaws == [], "seed \(seed): existing clients do not end with what is stored")
        guard let difference = try await Self.firstStoredDifference(history.steps) else { return }
        let short = try await HistoryShrinking.shrink(
            Array(history.steps.prefix(difference.step + 1))
        ) { try await Self.firstStoredDifference($0) != nil }
        let last = try await Self.firstStoredDifference(short)
        Issue.record(
            """
            seed \(seed), step \(difference.step): \(last?.text ?? difference.text)
            \(short.map(\.description).joined(separator: "\n"))
            """)
    }

    private static func firstStoredDifference(
        _ steps: [StoredHistory.Step]
    ) async throws -> Difference? {
        var found: Difference?
        try await SyncedDatabase.with(
            tables: StoredModel.schema, registered: StoredModel.registrations
        ) { database in
            var comparison = StoredModelComparison(database: database)
            for (number, step) in steps.enumerated() {
                if let text = try await comparison.take(step) {
                    found = Difference(step: number, text: text)
                    return
                }
            }
            if let text = try await database.differenceOfDigests() {
                found = Difference(step: steps.count - 1, text: text)
                return
            }
            let flaws = try await database.verify().0
            if !flaws.isEmpty {
                found = Difference(step: steps.count - 1, text: "verify: \(flaws)")
            }
        }
        return found
    }
}
