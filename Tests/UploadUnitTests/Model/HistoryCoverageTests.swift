import ServerModel
import Testing

@Suite("What histories hold")
struct HistoryCoverageTests {
    /// Each event must occur often enough not to hang on the luck of one seed.
    private static let leastOccurrences = 20
    private static let leastStoredOccurrences = 10
    /// Histories that existing clients are followed through, without PostgreSQL.
    private static let clientSeeds: UInt64 = 60

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

    @Test("The usual histories of stored rows hold every kind of exchange and of stored row")
    func storedRows() {
        var census = StoredCensus()
        for seed in 1...UInt64(HistoryPlan.usualStoredSeeds) {
            census.add(StoredHistory(seed: seed, steps: HistoryPlan.storedStepsPerSeed))
        }
        print(census.lines.joined(separator: ", "))
        for event in StoredCensus.Event.allCases {
            let count = census.counts[event, default: 0]
            #expect(count >= Self.leastStoredOccurrences, "\(event.rawValue): \(count)")
        }
    }

    @Test("Existing clients end with the rows that the server stores, in every history")
    func existingClients() {
        for seed in 1...Self.clientSeeds {
            let history = StoredHistory(seed: seed, steps: HistoryPlan.storedStepsPerSeed)
            #expect(history.flaws == [], "seed \(seed)")
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
