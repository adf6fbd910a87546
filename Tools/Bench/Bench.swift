import DevStack
import Foundation
import LocalPostgres
import Logging
import OperatorKit
import Sidecar

/// What to measure and how long.
package struct BenchPlan: Sendable {
    /// Folder of the floors' SQL scripts.
    package var floors = "Tests/Bench"
    /// Seconds of one measurement.
    package var seconds = 10.0
    /// Measurements of each kind; the tables show medians.
    package var rounds = 3
    /// Ids of the scenarios wanted; empty wants all but the slow ones.
    package var only: Set<String> = []
    package var watchers = 1000
    /// Also the scenario that loads millions of changes.
    package var growth = false
    /// Most changes that it loads.
    package var growthLimit = 5_000_000

    package init() {}

    func wants(_ scenario: any Scenario) -> Bool {
        if !only.isEmpty { return only.contains(scenario.id) }
        return scenario.askedForBy == nil || growth
    }
}

/// A running stack with everything that scenarios measure it with.
package struct Bench: Sendable {
    /// PostgreSQL's settings beyond its defaults, for our database and the floor's, which are on one cluster. Commits
    /// are durable, as by default; checkpoints are rare, so that a short measurement does not depend on whether it
    /// meets one.
    package static let postgresSettings = [
        "max_connections": "200", "shared_buffers": "1GB", "max_wal_size": "8GB",
        "checkpoint_timeout": "30min", "fsync": "on", "synchronous_commit": "on",
    ]

    /// The gateway counts what each user asks, as always; the load's users may ask more than people do.
    package static let environment = [
        "OVERSYNC_RATE_REQUESTS": "1000000", "OVERSYNC_RATE_BYTES": "\(1 << 40)",
    ]

    /// How many partitions a stack may be measured with.
    package static let partitionCounts = Partitioning.counts

    let plan: BenchPlan
    let stack: StackAddress
    let started: Stack
    let directory: StackDirectory
    let floor: FloorDatabase
    let timing: LoadTiming
    let target: LoadTarget
    let groups: ProcessGroups
    let cores = ProcessInfo.processInfo.activeProcessorCount
    private let users: LoadUsers
    private let say: @Sendable (String) -> Void

    /// - Parameters:
    ///   - started: a stack with `postgresSettings` and `environment`, which runs.
    ///   - say: gets lines that tell how far it is.
    package init(
        _ plan: BenchPlan, on started: Stack, say: @escaping @Sendable (String) -> Void
    ) async throws {
        self.plan = plan
        self.say = say
        self.started = started
        stack = started.address
        directory = started.plan.directory
        timing = LoadTiming(seconds: plan.seconds)
        floor = try await FloorDatabase.make(
            on: started.postgres, businessSchema: started.plan.businessSchema)
        target = try LoadTarget(port: started.plan.port, authority: started.address.authority)
        guard let postmaster = started.postgres.process else {
            throw StackError("PostgreSQL does not run")
        }
        groups = ProcessGroups(postmaster: postmaster, supervisor: started.address.processID)
        // Users of each run are new, whatever the database holds.
        users = try await LoadUsers(
            of: started.address, run: Int(Date().timeIntervalSince1970))
    }

    /// Runs every scenario that the plan wants.
    ///
    /// - Parameter settings: those of the services that are tried, for the report.
    package func measure(_ settings: [String: String] = [:]) async throws -> BenchReport {
        var report = BenchReport(
            machine: try await .read(database: stack.database), seconds: plan.seconds,
            rounds: plan.rounds, postgresSettings: Self.postgresSettings, settings: settings)
        if MachineDescription.isDebugBuild {
            say("this is a debug build: its numbers say nothing about speed")
        }
        for scenario in Scenarios.all(watchers: plan.watchers) where plan.wants(scenario) {
            say("\(scenario.id): \(scenario.work)")
            let result = try await scenario.run(self)
            for line in ReportLine.lines(result) {
                say("  " + line.cells.filter { !$0.isEmpty }.joined(separator: "  "))
            }
            report.results.append(result)
        }
        try await target.shutDown()
        return report
    }

    var loop: ClosedLoop { ClosedLoop(target: target, groups: groups) }

    /// A device of a user of this run alone.
    func device(_ user: String, _ device: String) async throws -> LoadDevice {
        try await users.device(user, device)
    }

    /// Lends the gateway of a second stack with the same database, as on another host.
    ///
    /// - Parameter download: more environment for its Download.
    func withOtherHost<R: Sendable>(
        download: [String: String] = [:],
        _ body: @escaping @Sendable (LoadTarget) async throws -> R
    ) async throws -> R {
        var plan = started.plan
        plan.directory = StackDirectory(directory.root + "/other")
        plan.port = 0
        plan.companion = started.companion
        plan.environmentOf["download"] = download
        let logger = Logger(label: "other", factory: { _ in SwiftLogNoOpLogHandler() })
        let other = try await Stack(plan, logger: logger)
        return try await other.run(logger: logger) { [target] _ in
            try await body(target.with(port: other.plan.port))
        }
    }

    /// A device of a user named elsewhere.
    func device(ofUser user: String, _ device: String) async throws -> LoadDevice {
        try await users.device(ofUser: user, device)
    }

    /// The absolute path of a floor's script.
    func script(_ name: String) -> String {
        URL(fileURLWithPath: plan.floors + "/" + name).standardizedFileURL.path
    }

    /// Names that were used in no run before.
    func unique(_ name: String) -> String { users.unique(name) }

    /// Ours and the floor's in alternation, so that what else happens on the machine meets both.
    func alternate(
        ours: () async throws -> Measurement, floor: (() async throws -> Measurement)?
    ) async throws -> (ours: [Measurement], floor: [Measurement]) {
        var all: (ours: [Measurement], floor: [Measurement]) = ([], [])
        for _ in 0..<plan.rounds {
            all.ours.append(try await ours())
            if let floor { all.floor.append(try await floor()) }
        }
        return all
    }

    /// The registered tables' numbers in our database.
    func tables() async throws -> Preload.Tables { try await .read(from: stack.database) }
}
