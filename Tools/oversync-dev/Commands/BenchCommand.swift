import ArgumentParser
import Bench
import DevStack
import Foundation
import OperatorKit

/// `oversync-dev bench`: how fast a stack is on this machine.
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract:
            "Measures the whole stack through HTTPS, next to PostgreSQL, nginx and SQLite alone.",
        discussion: """
            Starts its own stack with durable commits, and removes it at the end. With --smoke: a \
            short run without floors, on the running stack of `oversync-dev dev` if there is one. \
            Exits with 1 if the load generator was the bottleneck of a scenario, or, with --strict, \
            if a target was missed. `make bench` installs what it needs.
            """)

    @Flag(help: "A short run without floors or targets.")
    var smoke = false
    @Flag(help: "Exit with 1 if a target is missed.")
    var strict = false
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
    @Option(help: "The most changes that --growth and partitions load (at least 10000).")
    var growthLimit = 5_000_000
    @Option(help: "Partitions of the log and of the states of rows.")
    var partitions: Int?
    @OptionGroup var services: ServiceSettingOptions
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
        guard partitions.map(Bench.partitionCounts.contains) ?? true else {
            let counts = Bench.partitionCounts
            throw ValidationError(
                "--partitions must be between \(counts.lowerBound) and \(counts.upperBound)")
        }
        guard growthLimit >= 10_000 else {
            throw ValidationError("--growth-limit must be at least 10000")
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
        try checkOutputs([("--json", json), ("--svg", svg), ("--markdown", markdown)])
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
        try await withDisposableStack(stackPlan) { started in
            try await SmokeBench(stack: started.address) { print($0) }.run()
        }
    }

    private func runAll() async throws {
        var stackPlan = stackPlan
        stackPlan.environment = Bench.environment.merging(services.settings) { _, new in new }
        stackPlan.postgresSettings = Bench.postgresSettings
        stackPlan.partitions = partitions
        let (plan, settings) = (plan, services.settings)
        let report = try await withDisposableStack(stackPlan) { started in
            try await Bench(plan, on: started) { line in
                print(line)
                fflush(nil)
            }.measure(settings)
        }
        let tables = ReportTables(report)
        print("\n" + tables.text)
        if let json { try OutputFile.write(try report.json(), to: json) }
        if let svg { try OutputFile.write(Data(ReportPlot(report).svg.utf8), to: svg) }
        if let markdown { try OutputFile.write(Data(tables.markdown.utf8), to: markdown) }
        guard report.bottlenecks.isEmpty else {
            print("bottleneck: generator: \(report.bottlenecks.joined(separator: ", "))")
            throw ExitCode.failure
        }
        guard !strict || report.missed.isEmpty else {
            print("missed: \(report.missed.joined(separator: "; "))")
            throw ExitCode.failure
        }
    }

    private var stackPlan: Stack.Plan {
        disposableStack(in: stack.directory.root + "/bench")
    }
}
