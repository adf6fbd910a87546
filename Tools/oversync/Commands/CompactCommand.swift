import ArgumentParser
import Foundation
import Model
import OperatorKit
import Postgres
import Sidecar
import WireJSON

/// `oversync compact`: keeps logs as short as possible.
struct CompactCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compact",
        abstract: "Removes replaced changes and old deletes from the change logs.",
        discussion: """
            Runs online in small transactions. A device that was away longer than deletes are kept gets \
            history_pruned and starts again from 0. A change that a device repeats after its log entry is \
            gone is judged like a new one. Choose times longer than any device stays offline.

            A refused change that a device sends again after --failure-days is listed again.

            With --dry-run it counts what it would remove, and changes nothing.
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
    @Option(help: "Days to keep the audit, at least \(AuditLog.minimumDays). It stays without it.")
    var auditDays: Int?
    @Option(help: "Only this user's log.")
    var user: String?
    @Flag(help: "Count what would be removed, and change nothing.")
    var dryRun = false
    @OptionGroup var output: OutputOptions
    @OptionGroup var database: MigrateCommand.Database

    func validate() throws {
        for (name, days) in [
            ("--superseded-days", supersededDays), ("--tombstone-days", tombstoneDays),
            ("--failure-days", failureDays ?? 1), ("--audit-days", auditDays ?? 1),
        ] where !(1...Self.maximumDays).contains(days) {
            throw ValidationError("\(name) must be between 1 and \(Self.maximumDays)")
        }
        guard auditDays ?? AuditLog.minimumDays >= AuditLog.minimumDays else {
            throw ValidationError("--audit-days must be at least \(AuditLog.minimumDays)")
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
            if dryRun { return (try await compact(retention, on: connection), Int64?.none) }
            let trail = AuditTrail.ofThisTerminal
            let summary = try await trail.record(
                .compact, of: user ?? "all users", asked, on: connection
            ) {
                let summary = try await compact(retention, on: connection)
                return .init(summary, Self.details(summary))
            }
            guard let auditDays else { return (summary, Int64?.none) }
            return (summary, try await trail.prune(olderThanDays: auditDays, on: connection))
        }
        if output.json {
            var document = Self.members(summary)
            document.append(("audit_rows", pruned.map { .integer($0) }))
            document.append(("is_dry_run", .bool(dryRun)))
            return print(JSONDocument.object(document.map { (name: $0, value: $1) }).text)
        }
        print(
            """
            \(summary.superseded) replaced changes and \(summary.tombstones) deletes \(removed) \
            from \(summary.users) logs
            """)
        if failureDays != nil { print("\(summary.failures) refused changes \(removed)") }
        if let pruned { print("\(pruned) rows of the audit \(removed)") }
    }

    private var removed: String { dryRun ? "would be removed" : "removed" }

    private func compact(
        _ retention: Retention, on connection: PostgresConnection
    ) async throws -> Compactor.Summary {
        var progress = ProgressLine()
        defer { progress.end() }
        return try await Compactor(connection: connection, retention: retention, isDryRun: dryRun)
            .run(user: user) {
                progress.show($0, "logs looked at")
            } progress: {
                if output.json { return }
                progress.end()
                print(
                    "\(printable($0)): \($1.superseded) replaced changes and "
                        + "\($1.tombstones) deletes \(removed)")
                fflush(nil)
            }
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
        .object(members(summary).map { (name: $0, value: $1) })
    }

    private static func members(_ summary: Compactor.Summary) -> [(String, JSONDocument?)] {
        [
            ("users", .integer(Int64(summary.users))),
            ("superseded", .integer(summary.superseded)),
            ("tombstones", .integer(summary.tombstones)), ("failures", .integer(summary.failures)),
        ]
    }
}
