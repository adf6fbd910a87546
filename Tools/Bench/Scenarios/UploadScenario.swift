/// Devices that upload in a closed loop, into two business tables with a foreign key.
struct UploadScenario: Scenario {
    /// A script of pgbench that writes the same rows.
    struct Floor: Sendable {
        let script: String
        /// Least share of the floor's rate.
        let target: Double
    }

    /// Our processes together may use what PostgreSQL uses.
    private static let processorTarget = 1.0

    let id: String
    let work: String
    var unit = "changes"
    let devices: Int
    let changes: Int
    var mix = UploadMix.inserts
    /// All devices are of one user, and so wait for each other.
    var isOneUser = false
    var floor: Floor?
    var judgesProcessors = false

    func run(_ bench: Bench) async throws -> ScenarioResult {
        var result = ScenarioResult(self)
        var sources = try await sources(bench)
        let priming = UploadSource.primingRequests(mix)
        if priming > 0 { try await bench.loop.play(&sources, requests: priming) }
        let pgbench = floor.map { floor in
            PgBench(
                script: bench.script(floor.script), database: bench.floor.url, clients: devices,
                unitsPerTransaction: changes, variables: ["changes": changes])
        }
        try await pgbench?.warmUp()
        (result.ours, result.floor) = try await bench.alternate(
            ours: { try await bench.loop.measure(&sources, bench.timing) },
            floor: pgbench.map { floor in
                { try await floor.measure(bench.timing, bench.groups) }
            })
        if let floor {
            result.judge(
                "\(unit)/s", result.ours.rate, to: result.floor.rate, .atLeast(floor.target))
        }
        if judgesProcessors { result.judgeProcessors(atMost: Self.processorTarget) }
        result.judgeGenerator(cores: bench.cores)
        return result
    }

    private func sources(_ bench: Bench) async throws -> [any RequestSource] {
        var sources: [any RequestSource] = []
        for index in 0..<devices {
            let user = isOneUser ? id : "\(id)-\(index)"
            let device = try await bench.device(user, "device-\(index)")
            sources.append(UploadSource(device, mix, changes: changes))
        }
        return sources
    }
}

extension ScenarioResult {
    /// Holds the processor time of all our processes against PostgreSQL's in the same measurements.
    mutating func judgeProcessors(atMost share: Double) {
        judge(
            "CPU of our processes, ms per 1000", ours.median { $0.cost($0.usage.services) },
            to: ours.median { $0.cost($0.usage.seconds[ProcessUsage.postgres] ?? 0) },
            .atMost(share))
    }
}
