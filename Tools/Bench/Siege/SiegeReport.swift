import Foundation

/// Everything that a run has seen, and its tables.
package struct SiegeReport: Codable, Sendable {
    let machine: MachineDescription
    let seconds: Double
    /// Settings of the services that were tried.
    let settings: [String: String]
    package var results: [SiegeResult] = []
    /// Why an attack could not be run to its end, by its id.
    package var troubles: [String: String] = [:]

    /// - Parameter database: a PostgreSQL of the run, whose version is reported.
    package init(
        database: String, seconds: Double, settings: [String: String]
    ) async throws {
        self.init(
            machine: try await .read(database: database), seconds: seconds, settings: settings)
    }

    init(machine: MachineDescription, seconds: Double, settings: [String: String]) {
        self.machine = machine
        self.seconds = seconds
        self.settings = settings
    }

    /// What does not hold, a line for each.
    package var broken: [String] {
        results.flatMap(\.broken)
            + troubles.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }
    }

    package func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self)
    }

    /// For a terminal.
    package var text: String {
        machine.text + "\n\n" + tables.map(\.aligned).joined(separator: "\n")
    }

    /// For `Docs/security.md`.
    package var markdown: String {
        var text = "\(machine.text)\n\(Number.text(seconds)) s an attack.\n"
        if !settings.isEmpty { text += "Services: \(TextTable.list(settings)).\n" }
        text += "\n" + tables.map(\.markdown).joined(separator: "\n")
        if !broken.isEmpty { text += "\n" + broken.map { "- \($0)\n" }.joined() }
        return text
    }

    private var tables: [TextTable] { [requirements, victims, processes, attackers] }

    private var requirements: TextTable {
        var table = TextTable(titles: [
            "attack", "requirement", "seen", "against", "ratio", "bound", "holds",
        ])
        for result in results {
            table.rows += result.requirements.map { judgement in
                [
                    result.seen.work, judgement.what, Number.text(judgement.ours),
                    judgement.floor.map(Number.text) ?? "", judgement.comparison,
                    judgement.bound.text, judgement.isReached ? "yes" : "NO",
                ]
            }
        }
        return table
    }

    private var victims: TextTable {
        var table = TextTable(titles: [
            "other user", "phase", "requests", "p50 ms", "p95 ms", "p99 ms", "max ms", "failed",
        ])
        for seen in results.map(\.seen) {
            for (phase, report) in [
                ("before", seen.idle), ("during", seen.during), ("after", seen.after),
            ] {
                let latency = report.latency.map { [$0.p50, $0.p95, $0.p99, $0.max] }
                table.rows.append(
                    [seen.id, phase, "\(report.requests)"]
                        + (latency?.map(Number.text) ?? ["", "", "", ""])
                        + [Self.counts(report.failures)])
            }
        }
        return table
    }

    private var processes: TextTable {
        var table = TextTable(titles: [
            "processes", "of", "MB before", "peak", "after", "files before", "peak", "after",
            "CPU of the machine",
        ])
        for seen in results.map(\.seen) {
            for name in seen.peak.resident.keys.sorted() {
                let usages = [seen.before, seen.peak, seen.settled]
                table.rows.append(
                    [seen.id, name]
                        + usages.map { Number.megabytes($0.resident[name] ?? 0) }
                        + usages.map { "\($0.descriptors[name] ?? 0)" }
                        + [Number.text(100 * seen.share(of: name)) + " %"])
            }
        }
        return table
    }

    private var attackers: TextTable {
        var table = TextTable(titles: ["attacker", "answers", "p50 ms", "p99 ms", "max ms", "more"])
        for seen in results.map(\.seen) {
            let latency = seen.attack.latency.map { [$0.p50, $0.p99, $0.max] }
            let figures = seen.attack.figures.sorted { $0.key < $1.key }
                .map { "\($0.key) \(Number.text($0.value))" }
            table.rows.append(
                [seen.id, Self.counts(seen.attack.answers)]
                    + (latency?.map(Number.text) ?? ["", "", ""])
                    + [figures.joined(separator: ", ")])
        }
        return table
    }

    private static func counts(_ counts: [String: Int]) -> String {
        counts.sorted { $0.key < $1.key }.map { "\($0.value) × \($0.key)" }
            .joined(separator: ", ")
    }
}
