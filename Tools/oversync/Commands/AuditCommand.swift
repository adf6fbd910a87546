import ArgumentParser
import Foundation
import Model
import OperatorKit
import Postgres
import Sidecar
import WireJSON

/// `oversync audit`: who did what with power.
struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit",
        abstract: "Shows who did what with power, or removes old entries.",
        subcommands: [Show.self, Prune.self], defaultSubcommand: Show.self)

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "show",
            abstract: "Prints the newest rows, the newest last (the default).",
            discussion: """
                An action of several transactions has a row `begun` and a row with its outcome, \
                which share an operation. A row `begun` without the other was interrupted. If \
                there are older rows, the error output ends with the --before that shows them; \
                with --since the exit code is 2 then. See Docs/audit.md.
                """)

        /// The exit code of an answer to --since that --limit has cut.
        private static let isTruncated: Int32 = 2

        @Option(
            help: "Only rows since then: an age such as 24h or 7d, or a time such as 2026-05-01.")
        var since: Since?
        @Option(help: "Only this action, such as key.rotate.")
        var action: String?
        @Option(help: "The largest number of rows (1 to \(AuditQuery.maximumRows)).")
        var limit = AuditQuery().limit
        @Option(help: "Only rows with smaller numbers.")
        var before: Int64?
        @Flag(help: "Print a JSON object a line.")
        var json = false
        @OptionGroup var database: MigrateCommand.Database

        func validate() throws {
            guard (1...AuditQuery.maximumRows).contains(limit) else {
                throw ValidationError("--limit must be between 1 and \(AuditQuery.maximumRows)")
            }
            if let before, before < 1 { throw ValidationError("--before must be at least 1") }
            if let action, AuditAction(rawValue: action) == nil {
                let known = AuditAction.allCases.map(\.rawValue).joined(separator: ", ")
                throw ValidationError("--action must be one of \(known)")
            }
        }

        func run() async throws {
            var query = AuditQuery()
            query.action = action ?? ""
            query.limit = limit
            query.before = before ?? 0
            switch since {
            case .age(let seconds): query.age = seconds
            case .time(let time): query.since = time
            case nil: break
            }
            let (rows, hasMore) = try await withConnection(to: try database.resolve()) {
                do {
                    return try await AuditLog(connection: $0).read(query)
                } catch let error as PostgresError
                    where query.since != nil && error.isDataTrouble
                {
                    // Such as the 31st of February.
                    throw StackError("--since is not a time that there is")
                }
            }
            for row in rows { print(json ? row.document.text : Self.line(row)) }
            guard hasMore, let first = rows.first else { return }
            FileHandle.standardError.write(
                Data("there are older rows: --before \(first.id)\n".utf8))
            // Who asks for a time, such as a job that copies rows, must not take a part for all.
            if since != nil, before == nil { throw ExitCode(Self.isTruncated) }
        }

        private static func line(_ row: AuditRow) -> String {
            let who = [printable(row.actor), row.host.map { "from " + printable($0) }]
            var words = [row.at, row.action, printable(row.target), row.outcome]
            if let code = row.code { words.append("(\(printable(code)))") }
            words.append("by")
            words += who.compactMap(\.self)
            if let role = row.databaseRole, role != row.actor {
                words.append("as \(printable(role))")
            }
            return words.joined(separator: " ")
        }
    }

    struct Prune: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "prune",
            abstract: "Removes rows that are older than a retention.",
            discussion: """
                Runs online in small transactions, and is recorded itself. `oversync compact \
                --audit-days` does the same.
                """)

        @Option(help: "An age of at least \(AuditLog.minimumDays)d, such as 400d.")
        var olderThan: Age
        @OptionGroup var database: MigrateCommand.Database

        func validate() throws {
            let days = Int64(AuditLog.minimumDays)
            guard olderThan.seconds >= days * Age.secondsPerDay else {
                throw ValidationError("--older-than must be at least \(days)d")
            }
        }

        func run() async throws {
            let removed = try await withConnection(to: try database.resolve()) {
                try await AuditTrail.ofThisTerminal.prune(olderThan: olderThan.seconds, on: $0)
            }
            print("\(removed) rows removed")
        }
    }
}
