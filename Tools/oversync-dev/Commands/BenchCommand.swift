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
            "Measures the whole stack through HTTPS, beside what PostgreSQL, nginx and SQLite do alone.",
        discussion: """
            Starts a stack of its own with durable commits and removes it. With --smoke: a short look without \
            floors, on the running stack of `oversync-dev dev` if there is one. Ends with status 1 when the load \
            itself was the bottleneck of a scenario. `make bench` installs what it needs.
            """)

    @Flag(help: "A short run without floors or targets.")
    var smoke = false
    @Flag(help: "Lists the scenarios.")
    var list = false
    @Option(help: "Only these scenarios: ids with commas between.")
    var only: String?
    @Option(help: "Seconds of one measurement.")
    var seconds = 10.0
    @Option(help: "Measurements of each kind; the tables show medians.")
    var rounds = 3
    @Option(help: "How many devices watch at once.")
    var watchers = 1000
    @Flag(help: "Also the cost of a change with up to 5 million changes in the log; takes long.")
    var growth = false
    @Option(help: "Most changes that --growth loads: 10000 at least.")
    var growthLimit = 5_000_000
    @Option(
        help:
            "A setting of the services to try, such as OVERSYNC_UPLOAD_POOL_MAX=4; may be repeated."
    )
    var setting: [String] = []
    @Option(help: "Folder of the floors' SQL scripts.")
    var floors = "Tests/Bench"
    @Option(help: "Writes everything that was seen to this file, as JSON.")
    var json: String?
    @Option(help: "Writes a plot to this file, as SVG.")
    var svg: String?
    @Option(help: "Writes the tables of Docs/performance.md to this file, as Markdown.")
    var markdown: String?
    @OptionGroup var stack: StackOptions

    func validate() throws {
        guard (0.5...3600).contains(seconds) else {
            throw ValidationError("--seconds must be 0.5 to 3600")
        }
        guard (1...100).contains(rounds) else { throw ValidationError("--rounds must be 1 to 100") }
        guard (0...100_000).contains(watchers) else {
            throw ValidationError("--watchers must be 0 to 100000")
        }
        guard growthLimit >= 10_000 else {
            throw ValidationError("--growth-limit must be 10000 at least")
        }
        for text in setting where !text.hasPrefix("OVERSYNC_") || !text.contains("=") {
            throw ValidationError("--setting \(text): must be OVERSYNC_<NAME>=<value>")
        }
        guard only == nil || !plan.only.isEmpty else {
            throw ValidationError("--only names no scenario; --list names them all")
        }
        let unknown = plan.only.subtracting(Scenarios.ids)
        guard unknown.isEmpty else {
            let names = unknown.sorted().joined(separator: ", ")
            throw ValidationError("no such scenario: \(names); --list names them all")
        }
        guard smoke || list || FileManager.default.fileExists(atPath: floors) else {
            throw ValidationError(
                "--floors: there is no folder \(floors); it is Tests/Bench of the repository")
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
