import ArgumentParser
import DevStack
import Foundation
import GapCheck
import LocalPostgres
import Logging
import OperatorKit

/// `oversync-dev gap`: does every reader get every change?
struct GapCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gap",
        abstract: "Checks that readers get every applied change exactly once and in order.",
        discussion: """
            Starts its own stack. Devices of one user, a device of another, and a back end's plain SQL write \
            at the same time, while readers follow by cursor, long poll and watch. Exits with 1, and keeps the \
            stack's folder, if a reader misses a change, gets one twice or out of order, or gets another \
            user's change.
            """)

    @Option(help: "The least number of changes of the user.")
    var changes: Int64 = 10_000
    @Option(help: "Devices of the user that write at the same time.")
    var writers = 8
    @Flag(
        help: "Also kill -9 upload and download processes, and cut connections to PostgreSQL.")
    var kill = false
    @Option(help: "Seed of what is written and killed.")
    var seed: UInt64 = 1
    @OptionGroup var stack: StackOptions

    func validate() throws {
        guard (1...100_000_000).contains(changes) else {
            throw ValidationError("--changes must be between 1 and 100000000")
        }
        guard (1...200).contains(writers) else {
            throw ValidationError("--writers must be between 1 and 200")
        }
    }

    func run() async throws {
        let directory = StackDirectory(stack.directory.root + "/gap")
        var plan = GapCheck.Plan()
        plan.changes = changes
        plan.writers = writers
        plan.kills = kill
        plan.seed = seed
        var stackPlan = GapCheck.stackPlan(in: directory)
        // What an earlier run has left would be changes that nobody wrote.
        stackPlan.startsEmpty = true
        let started = try await Stack(
            stackPlan, logger: ConsoleLogHandler.logger(.notice))
        let report = try await started.run(logger: ConsoleLogHandler.logger(.error)) {
            [plan] address in
            try await GapCheck(plan, stack: address) { line in
                print(line)
                fflush(nil)
            }.run()
        }
        for line in report.lines { print(line) }
        if let first = report.faults.first {
            for fault in report.faults { print(fault) }
            print(
                "\n\(report.faultCount) faults; the stack is kept in \(directory.root). The first: \(first)"
            )
            throw ExitCode(1)
        }
        try await started.postgres.destroy()
        try FileManager.default.removeItem(atPath: directory.root)
        print("\nEvery reader got every change exactly once and in order.")
    }
}
