import ArgumentParser
import DevStack
import Foundation
import LocalPostgres
import Logging
import OperatorKit
import Soak

/// `oversync-dev soak`: what is left of the promises after hours on a bad network.
struct SoakCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "soak",
        abstract: "Runs real devices on a rough network, and kills the stack's processes.",
        discussion: """
            Starts a stack of its own. Devices write and sync through a proxy that delays, cuts, \
            truncates and refuses. In the first half every process is killed in turn, PostgreSQL \
            too. In the second half the memory and the open descriptors of every process are \
            watched, and must be flat: the median of the last third of the samples must not be \
            above that of the middle third by more than a tenth and 8 MB, or 32 descriptors. \
            Exits with 1, and keeps the stack's folder, unless all copies and digests are equal, \
            nothing was lost, and every process was flat.
            """)

    @Option(help: "Minutes of the run.")
    var minutes = 10.0
    @Option(help: "The number of devices.")
    var devices = Soak.Plan().devices
    @Option(help: "Seed of edits, faults and kills.")
    var seed: UInt64 = 1
    @OptionGroup var stack: StackOptions

    func validate() throws {
        // Tokens are good for twelve hours.
        guard (0.5...660).contains(minutes) else {
            throw ValidationError("--minutes must be between 0.5 and 660")
        }
        guard (2...32).contains(devices) else {
            throw ValidationError("--devices must be between 2 and 32")
        }
    }

    func run() async throws {
        var plan = Soak.Plan()
        plan.duration = .seconds(minutes * 60)
        plan.devices = devices
        plan.seed = seed
        var stackPlan = disposableStack(in: stack.directory.root + "/soak")
        stackPlan.downloadReplicas = 2
        // The database is killed, not the machine: what it has written survives that.
        stackPlan.postgresSettings = ["fsync": "off"]
        let started = try await Stack(stackPlan, logger: ConsoleLogHandler.logger(.notice))
        let report = try await started.run(logger: ConsoleLogHandler.logger(.error)) {
            [plan] _ in
            print("seed \(plan.seed)")
            return try await Soak.run(plan, on: started) { line in
                print(line)
                fflush(nil)
            }
        }
        print("\n" + report.lines.joined(separator: "\n"))
        guard report.faults.isEmpty else {
            print(
                "\n\(report.faults.count) faults; the stack is kept in \(stackPlan.directory.root)."
            )
            throw ExitCode(1)
        }
        try await started.postgres.destroy()
        try FileManager.default.removeItem(atPath: stackPlan.directory.root)
        print("\nNothing was lost, all copies and digests are equal, and every process was flat.")
    }
}
