import ArgumentParser
import Bench
import Demo
import DevStack
import Foundation
import LocalPostgres
import Logging

/// `oversync bench`: how fast a stack is on this machine.
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measures uploads and downloads through the gateway.",
        discussion:
            "Uses the running stack of `oversync dev`, or starts one of its own and removes it.")

    @Flag(help: "A short run without floors or targets (the only kind so far).")
    var smoke = false
    @OptionGroup var stack: StackOptions

    func validate() throws {
        guard smoke else { throw ValidationError("only --smoke is there so far") }
    }

    func run() async throws {
        if let running = StackAddress.running(in: stack.directory) {
            try await SmokeBench(stack: running) { print($0) }.run()
            return
        }
        let directory = StackDirectory(stack.directory.root + "/bench")
        var plan = Stack.Plan(
            directory: directory, registrations: DemoTables.registrations,
            businessSchema: DemoTables.businessSchema)
        plan.port = 0
        let started = try await Stack(plan, logger: ConsoleLogHandler.logger(.notice))
        try await started.run(logger: ConsoleLogHandler.logger(.warning)) { address in
            try await SmokeBench(stack: address) { print($0) }.run()
        }
        try await started.postgres.destroy()
        try FileManager.default.removeItem(atPath: directory.root)
    }
}
