import ArgumentParser
import Foundation
import Model
import OperatorKit
import Sidecar
import WireJSON

/// `oversync compact`: logs that grow no longer than they must.
struct CompactCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compact",
        abstract: "Removes replaced changes and old deletes from the change logs.",
        discussion: """
            Runs online in small transactions. A device that was away longer than deletes are kept gets \
            history_pruned and starts again from 0. A change that a device repeats after its log entry is \
            gone is judged like a new one. Choose times longer than any device stays offline.

            A refused change that a device sends again after --failure-days is listed anew.
            """)

    /// Longest time that can be asked for, in days.
    private static let maximumDays = 36_500
    private static let secondsPerDay: Int64 = 86_400

    @Option(help: "Days to keep replaced changes.")
    var supersededDays = 30
    @Option(help: "Days to keep deletes; not fewer than --superseded-days.")
    var tombstoneDays = 90
    @Option(help: "Days to keep changes that tables have refused. They stay without it.")
    var failureDays: Int?
    @Option(help: "Days to keep the audit. It stays without it.")
    var auditDays: Int?
    @Option(help: "Only this user's log.")
    var user: String?
    @OptionGroup var database: MigrateCommand.Database

    func validate() throws {
        for (name, days) in [
            ("--superseded-days", supersededDays), ("--tombstone-days", tombstoneDays),
            ("--failure-days", failureDays ?? 1), ("--audit-days", auditDays ?? 1),
        ] where !(1...Self.maximumDays).contains(days) {
            throw ValidationError("\(name) must be between 1 and \(Self.maximumDays)")
        }
        guard tombstoneDays >= supersededDays else {
            throw ValidationError(
                "--tombstone-days must not be less than --superseded-days: a delete outlives what it deletes"
            )
        }
    }

    func run() async throws {
        let retention = Retention(
            superseded: Int64(supersededDays) * Self.secondsPerDay,
            tombstones: Int64(tombstoneDays) * Self.secondsPerDay,
            failures: failureDays.map { Int64($0) * Self.secondsPerDay })
        let (summary, pruned) = try await withConnection(to: try database.resolve()) { connection in
            let trail = AuditTrail.ofThisTerminal
            let summary = try await trail.record(
                .compact, of: user ?? "all users", asked, on: connection
            ) {
                let summary = try await Compactor(connection: connection, retention: retention)
                    .run(user: user) {
                        print(
                            "\(printable($0)): \($1.superseded) replaced changes and "
                                + "\($1.tombstones) deletes removed")
                        fflush(nil)
                    }
                return .init(summary, Self.details(summary))
            }
            guard let auditDays else { return (summary, Int64?.none) }
            return (summary, try await trail.prune(olderThanDays: auditDays, on: connection))
        }
        print(
            """
            \(summary.superseded) replaced changes and \(summary.tombstones) deletes removed from \
            \(summary.users) logs
            """)
        if failureDays != nil { print("\(summary.failures) refused changes removed") }
        if let pruned { print("\(pruned) rows of the audit removed") }
    }

    /// What it was asked for, for the audit.
    private var asked: JSONDocument {
        [
            "superseded_days": .integer(Int64(supersededDays)),
            "tombstone_days": .integer(Int64(tombstoneDays)),
            "failure_days": failureDays.map { .integer(Int64($0)) },
        ]
    }

    private static func details(_ summary: Compactor.Summary) -> JSONDocument {
        [
            "users": .integer(Int64(summary.users)), "superseded": .integer(summary.superseded),
            "tombstones": .integer(summary.tombstones), "failures": .integer(summary.failures),
        ]
    }
}
