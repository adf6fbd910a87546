import OperatorKit

/// Devices that read their logs from the start in a closed loop.
struct DownloadScenario: Scenario {
    private static let readers = 8
    /// Changes in each reader's log.
    private static let rowsPerReader = 20_000
    /// Least share of the floor's rate.
    private static let target = 0.45
    /// Our processes together may use what PostgreSQL uses.
    private static let processorTarget = 1.0

    let id: String
    let work: String
    let unit = "rows"
    let pageRows: Int
    var judgesProcessors = false

    func run(_ bench: Bench) async throws -> ScenarioResult {
        var result = ScenarioResult(self)
        let preload = Preload(
            prefix: bench.unique(id), users: Self.readers, changesPerUser: Self.rowsPerReader)
        try await preload.load(into: bench.stack.database, try await bench.tables())
        let first = try await preload.load(into: bench.floor.url, .unregistered)
        var sources: [any RequestSource] = []
        for index in 0..<Self.readers {
            let device = try await bench.device(ofUser: preload.user(index), "reader")
            sources.append(PageSource(device, limit: pageRows))
        }
        let pgbench = PgBench(
            script: bench.script("floor-page.sql"), database: bench.floor.url,
            clients: Self.readers, unitsPerTransaction: pageRows,
            variables: [
                "first": first, "rows": Self.rowsPerReader, "limit": pageRows, "after": 0,
            ])
        try await pgbench.warmUp()
        (result.ours, result.floor) = try await bench.alternate(
            ours: { try await bench.loop.measure(&sources, bench.timing) },
            floor: { try await pgbench.measure(bench.timing, bench.groups) })
        result.judge("rows/s", result.ours.rate, to: result.floor.rate, .atLeast(Self.target))
        if judgesProcessors { result.judgeProcessors(atMost: Self.processorTarget) }
        result.judgeGenerator(cores: bench.cores)
        return result
    }
}
