import ServerModel
import Testing

@Suite("What histories hold")
struct HistoryCoverageTests {
    /// Each event must occur often enough not to hang on the luck of one seed.
    private static let leastOccurrences = 20

    @Test("The usual histories hold every kind of operation and of outcome, and 100,000 operations")
    func coverage() {
        var census = HistoryCensus()
        for seed in 1...UInt64(HistoryPlan.usualSeeds) {
            census.add(RandomHistory(seed: seed, steps: HistoryPlan.stepsPerSeed))
        }
        print("\(census.operations) operations; \(census.lines.joined(separator: ", "))")
        #expect(census.operations >= HistoryPlan.leastOperations)
        #expect(census.senders == 6, "two users on three devices each")
        for event in HistoryCensus.Event.allCases {
            let count = census.counts[event, default: 0]
            #expect(count >= Self.leastOccurrences, "\(event.rawValue): \(count)")
        }
    }

    @Test("A seed gives the same history every time, another seed another one")
    func reproducible() {
        func text(_ seed: UInt64) -> String {
            RandomHistory(seed: seed, steps: 50).steps.map(\.description).joined(separator: "\n")
        }
        #expect(text(1) == text(1))
        #expect(text(1) != text(2))
    }
}
