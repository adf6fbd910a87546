import Foundation

/// One line of the benchmark: a piece of work, and what it is held against.
protocol Scenario: Sendable {
    /// What `--only` calls it.
    var id: String { get }
    /// What the tables call it.
    var work: String { get }
    /// What is counted: changes, rows, requests.
    var unit: String { get }
    /// Why it runs only when asked for; nil when it always does.
    var askedForBy: String? { get }

    /// Does it, in alternation with its floor.
    func run(_ bench: Bench) async throws -> ScenarioResult
}

extension Scenario {
    var askedForBy: String? { nil }
}

/// All there are, in the order of the tables.
package enum Scenarios {
    /// - Parameter watchers: how many devices watch at once.
    static func all(watchers: Int) -> [any Scenario] {
        [
            UploadScenario.upload200, UploadScenario.upload50, UploadScenario.upload50OneUser,
            UploadScenario.upload1, UploadScenario.updates, UploadScenario.deletes,
            UploadScenario.conflicts, DownloadScenario.download1000, DownloadScenario.download100,
            IdlePollScenario(), EventLatencyScenario(.sameHost),
            EventLatencyScenario(.otherHost), WatchersScenario(count: watchers), ApplyScenario(),
            CaptureScenario(), OverloadScenario(), StandbyPagesScenario(), GrowthScenario(),
            LongestUploadScenario(), PartitionScenario(), HotTablesScenario(), PoolPauseScenario(),
        ] + CostScenario.all + Objective.allCases.map(ObjectiveScenario.init)
    }

    /// One line for each: id, work, and what asks for it.
    package static func list(watchers: Int) -> [String] {
        all(watchers: watchers).map { scenario in
            let id = scenario.id.padding(toLength: 20, withPad: " ", startingAt: 0)
            return id + scenario.work + (scenario.askedForBy.map { " (only with \($0))" } ?? "")
        }
    }

    package static let ids = Set(all(watchers: 0).map(\.id))
}
