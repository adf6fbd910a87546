import Foundation
import ServerModel
import Testing

@testable import UploadService

/// `UploadPlan.decide` by itself against the model: no JSON, no SQL, hence very many operations.
@Suite("Model checking of the plan")
struct DecideModelTests {
    private static let operations =
        ProcessInfo.processInfo.environment["OVERSYNC_DECIDE_OPERATIONS"].flatMap { Int($0) }
        ?? HistoryPlan.usualDecisions
    /// Histories that one task takes at a time.
    private static let seedsPerTask: UInt64 = 50

    @Test("Whatever is decided from facts is what the model answers, in every history")
    func decisions() async throws {
        let start = ContinuousClock.now
        var done = 0
        var next: UInt64 = 1
        let failed = await withTaskGroup(of: Result.self) { tasks -> UInt64? in
            for _ in 0..<ProcessInfo.processInfo.activeProcessorCount {
                tasks.addTask { [next] in Self.check(seeds: next..<next + Self.seedsPerTask) }
                next += Self.seedsPerTask
            }
            while let result = await tasks.next() {
                done += result.operations
                if let seed = result.failed { return seed }
                guard done < Self.operations else { continue }
                tasks.addTask { [next] in Self.check(seeds: next..<next + Self.seedsPerTask) }
                next += Self.seedsPerTask
            }
            return nil
        }
        if let failed { return try await Self.report(failed) }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        print("\(done) operations decided, \(Int(Double(done) / seconds * 60)) a minute")
        #expect(done >= Self.operations)
    }

    private struct Result: Sendable {
        var operations = 0
        var failed: UInt64?
    }

    private static func check(seeds: Range<UInt64>) -> Result {
        var result = Result()
        for seed in seeds {
            var maker = HistoryMaker(seed: seed)
            var comparison = DecideComparison()
            for _ in 0..<HistoryPlan.stepsPerDecideSeed {
                let step = maker.step()
                result.operations += step.operations
                if comparison.take(step, wanted: maker.answers) != nil {
                    result.failed = seed
                    return result
                }
            }
            if difference(comparison.store, maker.model) != nil {
                result.failed = seed
                return result
            }
        }
        return result
    }

    private static func report(_ seed: UInt64) async throws {
        let history = RandomHistory(seed: seed, steps: HistoryPlan.stepsPerDecideSeed).steps
        let found = firstDifference(history) ?? "it does not happen again"
        let short = try await HistoryShrinking.shrink(history) { firstDifference($0) != nil }
        Issue.record(
            """
            seed \(seed): \(found); in short, \(firstDifference(short) ?? "nothing"):
            \(short.map(\.description).joined(separator: "\n"))
            """)
    }

    private static func firstDifference(_ history: [RandomHistory.Step]) -> String? {
        var model = ModelServer()
        var comparison = DecideComparison()
        for (number, step) in history.enumerated() {
            var wanted: [ModelServer.Answer] = []
            switch step {
            case .write(let write):
                guard model.allows(write) else { continue }
                model.write(write)
            case .upload(let upload):
                guard !model.deletesNotesTogether(upload) else { continue }
                wanted = model.upload(upload)
            }
            if let text = comparison.take(step, wanted: wanted) { return "step \(number): \(text)" }
        }
        return difference(comparison.store, model)
    }

    /// The devices' changes must stand in both logs in the same order.
    private static func difference(_ store: FactStore, _ model: ModelServer) -> String? {
        for user in ModelServer.User.allCases {
            let log = store.log(of: user)
            let wanted = model.log(of: user)
            let isSame =
                log.count == wanted.count
                && zip(
                    log.lazy.filter { $0.device != .server },
                    wanted.lazy.filter { $0.device != .server }
                ).allSatisfy {
                    $0.version == $1.version && $0.device == $1.device && $0.id == $1.id
                        && $0.content == $1.content
                }
            if !isSame { return "\(user.name)'s log is \(log) instead of \(wanted)" }
        }
        return nil
    }
}
