import ArgumentParser
import Bench
import DevStack
import Foundation
import OperatorKit

/// `oversync-dev siege`: whether one user can hurt another.
struct SiegeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "siege",
        abstract: "Attacks a stack as one user, and measures what another user notices.",
        discussion: """
            Starts a stack of its own for each attack, on loopback, with the services' default \
            limits, and removes it at the end. Another user works steadily before, during and \
            after the attack. Exits with 1 if a requirement of Docs/security.md does not hold.
            """)

    @Flag(help: "List the attacks.")
    var list = false
    @Option(parsing: .upToNextOption, help: "Run only these attacks.")
    var only: [String] = []
    @Option(help: "Seconds of each attack.")
    var seconds = SiegePlan().seconds
    @Option(help: "Seconds between the end of an attack and the last look at the memory.")
    var settleSeconds = SiegePlan().settleSeconds
    @Option(help: "Seconds after which the gateway must have ended a stream that takes nothing.")
    var stallSeconds = SiegePlan().stallSeconds
    @Option(help: "Megabytes of unread answers that the gateway may hold.")
    var gatewayBudget = SiegePlan().gatewayBudget >> 20
    @Option(help: "Seed of the users' names and their rows.")
    var seed = SiegePlan().seed
    @OptionGroup var services: ServiceSettingOptions
    @Option(help: "Write everything that was seen to this file, as JSON.")
    var json: String?
    @Option(help: "Write the tables to this file, as Markdown.")
    var markdown: String?
    @OptionGroup var stack: StackOptions

    func validate() throws {
        for (option, value) in [
            ("--seconds", seconds), ("--settle-seconds", settleSeconds),
            ("--stall-seconds", stallSeconds),
        ] where !(1...600).contains(value) {
            throw ValidationError("\(option) must be between 1 and 600")
        }
        guard (1...65_536).contains(gatewayBudget) else {
            throw ValidationError("--gateway-budget must be between 1 and 65536")
        }
        // More digits than a number of this size has would be lost on the way.
        guard seed < 1 << 53 else { throw ValidationError("--seed is too large") }
        let unknown = Set(only).subtracting(Siege.ids).sorted()
        guard unknown.isEmpty else {
            let names = unknown.joined(separator: ", ")
            throw ValidationError("no such attack: \(names). Use --list to see them")
        }
        try checkOutputs([("--json", json), ("--markdown", markdown)])
    }

    func run() async throws {
        guard !list else { return print(Siege.list.joined(separator: "\n")) }
        OpenFiles.raiseLimit()
        var report: SiegeReport?
        for id in Siege.ids where only.isEmpty || only.contains(id) {
            try await attack(id, &report)
        }
        guard let report else { throw StackError("no attack could be run") }
        print("\n" + report.text)
        if let json { try OutputFile.write(try report.json(), to: json) }
        if let markdown { try OutputFile.write(Data(report.markdown.utf8), to: markdown) }
        guard report.broken.isEmpty else {
            print("\ndoes not hold:\n" + report.broken.joined(separator: "\n"))
            throw ExitCode.failure
        }
    }

    /// Runs one attack on a stack of its own, so that no attack starts with another one's remains.
    private func attack(_ id: String, _ report: inout SiegeReport?) async throws {
        tell("\(id)")
        var stackPlan = Siege.stackPlan(
            disposableStack(in: stack.directory.root + "/siege"), for: id)
        stackPlan.environment.merge(services.settings) { _, given in given }
        let siege = Siege(plan)
        let (seconds, settings, known) = (seconds, services.settings, report)
        report = try await withDisposableStack(stackPlan) { started in
            var report: SiegeReport
            if let known {
                report = known
            } else {
                report = try await SiegeReport(
                    database: started.address.database, seconds: seconds, settings: settings)
            }
            do {
                let result = try await siege.measure(id, on: started)
                report.results.append(result)
            } catch  where !Task.isCancelled {
                // The other attacks are measured all the same.
                report.troubles[id] = "\(error)"
            }
            return report
        }
        let broken = report?.broken.filter { $0.hasPrefix(id + ": ") } ?? []
        tell(broken.isEmpty ? "  holds" : broken.map { "  " + $0 }.joined(separator: "\n"))
    }

    private var plan: SiegePlan {
        var plan = SiegePlan()
        plan.seconds = seconds
        plan.settleSeconds = settleSeconds
        plan.stallSeconds = stallSeconds
        plan.gatewayBudget = gatewayBudget << 20
        plan.seed = seed
        let lock = services.settings["OVERSYNC_UPLOAD_LOCK_TIMEOUT_MS"].flatMap { Int($0) }
        plan.uploadLockMilliseconds = lock ?? plan.uploadLockMilliseconds
        return plan
    }

    private func tell(_ line: String) {
        print(line)
        fflush(nil)
    }
}
