import ArgumentParser
import Bench
import Demo
import DevStack
import Foundation
import LocalPostgres
import Logging
import OperatorKit

/// `oversync-dev bench`: how fast a stack is on this machine.
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract:
            "Measures the whole stack through HTTPS, next to PostgreSQL, nginx and SQLite alone.",
        discussion: """
            Starts its own stack with durable commits, and removes it at the end. With --smoke: a short run \
            without floors, on the running stack of `oversync-dev dev` if there is one. Exits with 1 if the \
            load generator was the bottleneck of a scenario. `make bench` installs what it needs.
            """)

    @Flag(help: "A short run without floors or targets.")
    var smoke = false
    @Flag(help: "List the scenarios.")
    var list = false
    @Option(help: "Run only these scenarios: ids, separated by commas.")
    var only: String?
    @Option(help: "Seconds per measurement.")
    var seconds = 10.0
    @Option(help: "Measurements per scenario; the tables show medians.")
    var rounds = 3
    @Option(help: "Devices that watch at the same time.")
    var watchers = 1000
    @Flag(help: "Also measure a change with up to 5 million changes in the log, which takes long.")
    var growth = false
    @Option(help: "The most changes that --growth loads (at least 10000).")
    var growthLimit = 5_000_000
    @Option(
        help:
            "A setting of the services, such as OVERSYNC_UPLOAD_POOL_MAX=4; repeat the option for more."
    )
    var setting: [String] = []
    @Option(help: "Folder with the SQL scripts of the floors.")
    var floors = "Tests/Bench"
    @Option(help: "Write all measurements to this file, as JSON.")
    var json: String?
    @Option(help: "Write a plot to this file, as SVG.")
    var svg: String?
    @Option(help: "Write the tables of Docs/performance.md to this file, as Markdown.")
    var markdown: String?
    @OptionGroup var stack: StackOptions

    func validate() throws {
        guard (0.5...3600).contains(seconds) else {
            throw ValidationError("--seconds must be between 0.5 and 3600")
        }
        guard (1...100).contains(rounds) else {
            throw ValidationError("--rounds must be between 1 and 100")
        }
        guard (0...100_000).contains(watchers) else {
            throw ValidationError("--watchers must be between 0 and 100000")
        }
        guard growthLimit >= 10_000 else {
            throw ValidationError("--growth-limit must be at least 10000")
        }
        for text in setting where !text.hasPrefix("OVERSYNC_") || !text.contains("=") {
            throw ValidationError("--setting \(text): must be OVERSYNC_<NAME>=<value>")
        }
        guard only == nil || !plan.only.isEmpty else {
            throw ValidationError("--only names no scenario: use --list to see them")
        }
        let unknown = plan.only.subtracting(Scenarios.ids)
        guard unknown.isEmpty else {
            let names = unknown.sorted().joined(separator: ", ")
            throw ValidationError("no such scenario: \(names). Use --list to see them")
        }
        guard smoke || list || FileManager.default.fileExists(atPath: floors) else {
            throw ValidationError(
                "--floors: there is no folder \(floors). Use Tests/Bench of the repository")
        }
        for (option, path) in [("--json", json), ("--svg", svg), ("--markdown", markdown)] {
            guard let path, let trouble = OutputFile.trouble(path) else { continue }
            throw ValidationError("\(option): \(trouble)")
        }
    }

    func run() async throws {
        if list {
            print(Scenarios.list(watchers: watchers).joined(separator: "\n"))
        } else if smoke {
            try await runSmoke()
        } else {
            try await runAll()
        }
    }

    private var plan: BenchPlan {
        var plan = BenchPlan()
        plan.floors = floors
        plan.seconds = seconds
        plan.rounds = rounds
        plan.only = Set((only ?? "").split(separator: ",").map(String.init))
        plan.watchers = watchers
        plan.growth = growth
        plan.growthLimit = growthLimit
        return plan
    }

    private func runSmoke() async throws {
        if let running = StackAddress.running(in: stack.directory) {
            return try await SmokeBench(stack: running) { print($0) }.run()
        }
        try await withStack(stackPlan) { started in
            try await SmokeBench(stack: started.address) { print($0) }.run()
        }
    }

    private func runAll() async throws {
        var stackPlan = stackPlan
        stackPlan.environment = Bench.environment.merging(settings) { _, new in new }
        stackPlan.postgresSettings = Bench.postgresSettings
        let plan = plan
        let report = try await withStack(stackPlan) { started in
            try await Bench(plan, on: started) { line in
                print(line)
                fflush(nil)
            }.measure(settings)
        }
        let tables = ReportTables(report)
        print("\n" + tables.text)
        if let json { try write(try report.json(), to: json) }
        if let svg { try write(Data(ReportPlot(report).svg.utf8), to: svg) }
        if let markdown { try write(Data(tables.markdown.utf8), to: markdown) }
        guard report.bottlenecks.isEmpty else {
            print("bottleneck: generator: \(report.bottlenecks.joined(separator: ", "))")
            throw ExitCode.failure
        }
    }

    private var settings: [String: String] {
        var all: [String: String] = [:]
        for text in setting {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            all[String(parts[0])] = String(parts[1])
        }
        return all
    }

    private var stackPlan: Stack.Plan {
        var plan = Stack.Plan(
            directory: StackDirectory(stack.directory.root + "/bench"),
            registrations: DemoTables.registrations, businessSchema: DemoTables.businessSchema)
        plan.port = 0
        plan.startsEmpty = true
        return plan
    }

    private func write(_ data: Data, to path: String) throws {
        try data.write(to: URL(fileURLWithPath: path), options: .atomic)
    }
}

/// Starts a stack, lends it and removes it with all its files.
private func withStack<R: Sendable>(
    _ plan: Stack.Plan, _ body: @escaping @Sendable (Stack) async throws -> R
) async throws -> R {
    let started = try await Stack(plan, logger: ConsoleLogHandler.logger(.notice))
    let outcome: Result<R, any Error>
    do {
        let value = try await started.run(logger: ConsoleLogHandler.logger(.warning)) { _ in
            try await body(started)
        }
        outcome = .success(value)
    } catch {
        outcome = .failure(error)
    }
    try await started.postgres.destroy()
    try FileManager.default.removeItem(atPath: plan.directory.root)
    return try outcome.get()
}
