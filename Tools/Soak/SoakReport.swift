import Foundation

/// What a soak saw.
package struct SoakReport: Sendable {
    /// What became of one process's memory or descriptors.
    struct Process: Sendable {
        let name: String
        let id: Int32
        let memory: FlatRule.Verdict
        let descriptors: FlatRule.Verdict
    }

    /// Faults that are printed.
    private static let shownFaults = 30

    package let seed: UInt64
    private let devices: Int
    private let duration: Duration
    /// How often what was killed.
    package internal(set) var strikes: [String: Int] = [:]
    /// How many connections had which fate.
    package internal(set) var connections: [String: Int] = [:]
    /// Transactions of the devices' apps.
    package internal(set) var transactions = 0
    /// How often apps were closed and opened.
    package internal(set) var restarts = 0
    /// Of all logs.
    package internal(set) var changes: Int64 = 0
    /// Of the business tables.
    package internal(set) var rows: Int64 = 0
    /// Rejections that the soak explains and that did not stay, by their kind.
    package private(set) var explained: [String: Int] = [:]
    /// Those that nothing explains. Each is a fault.
    package private(set) var unexplained = 0
    private(set) var processes: [Process] = []
    /// What is not as promised.
    package internal(set) var faults: [String] = []

    init(_ plan: Soak.Plan) {
        seed = plan.seed
        devices = plan.devices
        duration = plan.duration
    }

    /// Counts rejections that devices have reported.
    mutating func count(_ verdicts: [RejectionRule.Verdict]) {
        for verdict in verdicts {
            switch verdict {
            case .postponed: explained["postponed by a lock or a deadline", default: 0] += 1
            case .follows: explained["for a child that was postponed", default: 0] += 1
            case .unexplained: unexplained += 1
            }
        }
    }

    /// Judges the processes that lived through the whole second half.
    mutating func judge(_ watch: ProcessWatch) {
        let series = watch.series
        let whole = series.map(\.memory.count).max() ?? 0
        for process in series where process.memory.count >= whole - 1 {
            guard let memory = FlatRule.memory.judge(process.memory),
                let descriptors = FlatRule.descriptors.judge(process.descriptors)
            else { continue }
            processes.append(
                Process(
                    name: process.name, id: process.id, memory: memory, descriptors: descriptors))
            if !memory.isFlat {
                faults.append(
                    "the memory of \(process.name) grows: \(Self.megabytes(memory.middle)) MB, "
                        + "then \(Self.megabytes(memory.last)) MB")
            }
            if !descriptors.isFlat {
                faults.append(
                    "the descriptors of \(process.name) grow: \(descriptors.middle), "
                        + "then \(descriptors.last)")
            }
        }
        let names = ProcessWatch.services + [ProcessWatch.devices, ProcessWatch.postgres]
        for name in names where !processes.contains(where: { $0.name == name }) {
            faults.append("no process of \(name) was there for the whole watch")
        }
        for (name, count) in watch.ended.sorted(by: { $0.key < $1.key }) {
            faults.append("oversync-\(name) ended by itself \(count) times")
        }
    }

    /// All that there is to say, a line each.
    package var lines: [String] {
        var lines = [
            "seed \(seed), \(duration), \(devices) devices of \(Soak.users) users",
            "\(transactions) transactions of apps, \(restarts) restarts of apps; "
                + "\(changes) changes in the logs, \(rows) rows",
            "connections: " + Self.counts(connections),
            "killed: " + Self.counts(strikes),
            "rejected for a while: \(Self.counts(explained)); without an explanation: "
                + "\(unexplained)",
            "process       private memory, MB        descriptors",
            "              middle third  last third  middle third  last third",
        ]
        for process in processes {
            let cells = [
                Self.megabytes(process.memory.middle), Self.megabytes(process.memory.last),
                "\(process.descriptors.middle)", "\(process.descriptors.last)",
            ]
            let isFlat = process.memory.isFlat && process.descriptors.isFlat
            lines.append(
                process.name.padding(toLength: 12, withPad: " ", startingAt: 0)
                    + zip(cells, [14, 12, 14, 12]).map { cell, width in
                        String(repeating: " ", count: max(0, width - cell.count)) + cell
                    }.joined() + (isFlat ? "  flat" : "  GROWS"))
        }
        lines += faults.prefix(Self.shownFaults)
        return lines
    }

    private static func counts(_ counts: [String: Int]) -> String {
        let parts = counts.sorted { $0.key < $1.key }.map { "\($0.value) × \($0.key)" }
        return parts.isEmpty ? "none" : parts.joined(separator: ", ")
    }

    private static func megabytes(_ bytes: Int) -> String {
        String(format: "%.1f", Double(bytes) / Double(1 << 20))
    }
}
