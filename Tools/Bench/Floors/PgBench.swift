import Foundation
import LocalPostgres

/// What PostgreSQL alone does: one of the scripts in `Tests/Bench`, run by pgbench.
struct PgBench: Sendable {
    /// Threads of pgbench itself.
    private static let threads = 2

    /// Absolute path of the script.
    let script: String
    let database: String
    let clients: Int
    /// Changes or rows of one transaction.
    let unitsPerTransaction: Int
    /// Values of the script's variables.
    var variables: [String: Int] = [:]

    /// Runs it for the given time and measures meanwhile.
    func measure(_ timing: LoadTiming, _ groups: ProcessGroups) async throws -> Measurement {
        let before = groups.usage()
        let text = try await LocalPostgres.run(
            program: "pgbench", arguments(seconds: Int(timing.seconds.rounded(.up))))
        let output = try PgBenchOutput(text)
        return Measurement(
            units: output.transactions * unitsPerTransaction, requests: output.transactions,
            seconds: Double(output.transactions) / output.transactionsPerSecond,
            latency: nil, usage: groups.usage().since(before))
    }

    /// Fills caches; measures nothing.
    func warmUp() async throws {
        _ = try await LocalPostgres.run(program: "pgbench", arguments(seconds: 1))
    }

    private func arguments(seconds: Int) -> [String] {
        [
            "-n", "-M", "prepared", "-f", script, "-c", "\(clients)",
            "-j", "\(min(clients, Self.threads))", "-T", "\(seconds)",
        ] + variables.sorted { $0.key < $1.key }.flatMap { ["-D", "\($0.key)=\($0.value)"] }
            + [database]
    }
}
