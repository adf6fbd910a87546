import SeededRandom
import ServerModel
import Testing

@testable import UploadService

/// The histories of the model check, their uploads in groups of random sizes: each upload is
/// answered, and logged, as if it had been written alone.
@Suite("Model checking of groups") struct GroupedModelTests {
    private static let usualSeeds = 8
    /// The sizes of groups.
    private static let sizes = 1...6

    @Test(
        "S4, S20: uploads that share transactions give the answers and the feed of the model",
        arguments: ModelTests.seeds.prefix(
            ModelTests.seeds.count > HistoryPlan.usualSeeds ? .max : usualSeeds))
    func history(seed: UInt64) async throws {
        let steps = RandomHistory(seed: seed, steps: HistoryPlan.stepsPerSeed).steps
        var random = SeededGenerator(seed: seed)
        try await SyncedDatabase.with(
            tables: ModelServer.schema, registered: ModelServer.registrations
        ) { database in
            var comparison = ModelComparison(database: database)
            var waiting: [ModelServer.User: [ModelServer.Upload]] = [:]
            for (number, step) in steps.enumerated() {
                var difference: String?
                if case .upload(let upload) = step, !upload.isAtomic {
                    waiting[upload.user, default: []].append(upload)
                    let size = Int.random(in: Self.sizes, using: &random)
                    if waiting[upload.user, default: []].count >= size {
                        let group = waiting.removeValue(forKey: upload.user) ?? []
                        difference = try await comparison.take(together: group)
                    }
                } else {
                    difference = try await comparison.take(step)
                }
                try #require(difference == nil, "seed \(seed), step \(number)")
            }
            #expect(try await comparison.differenceOfPages() == nil, "seed \(seed)")
            #expect(try await database.verify().0 == [], "seed \(seed)")
            #expect(database.executor.groups.writtenGroups > 0, "seed \(seed)")
        }
    }

    @Test(
        "P4, P5: with unique values, defaults and lossy columns, groups get the model's answers",
        arguments: ModelTests.seeds.prefix(
            ModelTests.seeds.count > HistoryPlan.usualSeeds ? .max : usualSeeds))
    func storedRows(seed: UInt64) async throws {
        let steps = StoredHistory(seed: seed, steps: HistoryPlan.storedStepsPerSeed).steps
        let (found, groups) = try await Self.compareStored(steps)
        #expect(groups > 0, "seed \(seed)")
        guard let difference = found else { return }
        let short = try await HistoryShrinking.shrink(Array(steps.prefix(difference.step + 1))) {
            try await Self.compareStored($0).first != nil
        }
        let last = try await Self.compareStored(short).first
        Issue.record(
            """
            seed \(seed), step \(difference.step): \(last?.text ?? difference.text)
            \(short.map(\.description).joined(separator: "\n"))
            """)
    }

    /// Uploads of a user that no other step parts are one group.
    private static func compareStored(
        _ steps: [StoredHistory.Step]
    ) async throws -> (first: ModelTests.Difference?, groups: Int) {
        var found: ModelTests.Difference?
        var groups = 0
        try await SyncedDatabase.with(
            tables: StoredModel.schema, registered: StoredModel.registrations
        ) { database in
            defer { groups = database.executor.groups.writtenGroups }
            var comparison = StoredModelComparison(database: database)
            var waiting: [StoredModel.User: [StoredModel.Upload]] = [:]
            for number in 0...steps.count {
                let step = number < steps.count ? steps[number] : nil
                if case .upload(let upload) = step, !upload.isAtomic {
                    waiting[upload.user, default: []].append(upload)
                    continue
                }
                for user in StoredModel.User.allCases {
                    let group = waiting.removeValue(forKey: user) ?? []
                    if let text = try await comparison.take(together: group) {
                        found = .init(step: number, text: text)
                        return
                    }
                }
                if let step, let text = try await comparison.take(step) {
                    found = .init(step: number, text: text)
                    return
                }
            }
            let flaws = try await database.verify().0
            if !flaws.isEmpty {
                found = .init(step: steps.count, text: "verify: \(flaws)")
            }
        }
        return (found, groups)
    }
}
