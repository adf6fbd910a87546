import ArgumentParser
import Foundation
import Model
import NIOCore
import OperatorKit
import Postgres
import Protos
import RPC
import ServiceKit
import Sidecar
import WireJSON

/// `oversync failures`: changes that a business table has refused.
struct FailuresCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "failures",
        abstract: "Lists changes that a business table has refused, and tries one again.",
        discussion: "To list or show them is to read users' rows: the audit records it.",
        subcommands: [List.self, Show.self, Retry.self])

    /// The most failures of one list.
    private static let maximumRows = 10_000

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list",
            abstract: "Lists the changes that nothing has settled since, newest first.",
            discussion: "With --json: one object a line, payloads included.")

        @Option(
            help: "Only of this business table (schema.table).",
            transform: TableName.init(argument:)
        )
        var table: TableName?
        @Option(help: "Only of this user.")
        var user: String?
        @Option(help: "The largest number of rows (1 to \(maximumRows)).")
        var limit = 100
        @OptionGroup var output: OutputOptions
        @OptionGroup var database: MigrateCommand.Database

        func validate() throws {
            guard (1...maximumRows).contains(limit) else {
                throw ValidationError("--limit must be between 1 and \(maximumRows)")
            }
        }

        func run() async throws {
            // One more tells whether others follow.
            let statement = OpenFailures.List(
                schema: table?.schema ?? "", table: table?.table ?? "", user: user ?? "",
                limit: Int64(limit) + 1)
            let failures = try await withConnection(to: try database.resolve()) {
                try await FailuresCommand.read(
                    statement, of: [user, table?.description].compactMap(\.self), on: $0)
            }
            let shown = failures.prefix(limit)
            if output.json {
                for failure in shown { print(failure.document.text) }
            } else if shown.isEmpty {
                print("no rejected changes")
            } else {
                var lines = TextTable(["ID", "SINCE", "USER", "TABLE", "KEY", "CHANGE", "REASON"])
                for failure in shown { lines.add(failure.cells) }
                print(lines.text)
            }
            if failures.count > limit {
                FileHandle.standardError.write(
                    Data("there are more: use --limit, --table or --user\n".utf8))
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "show", abstract: "Shows a rejected change, with what its device sent.")

        @Argument(help: "Its number, from oversync failures list.")
        var id: Int64
        @OptionGroup var output: OutputOptions
        @OptionGroup var database: MigrateCommand.Database

        func run() async throws {
            let failure = try await withConnection(to: try database.resolve()) {
                try await FailuresCommand.read(OpenFailures.List(id: id), of: ["\(id)"], on: $0)
            }.first
            guard let failure else { throw StackError(FailuresCommand.unknown(id)) }
            print(output.json ? failure.document.text : failure.text)
        }
    }

    struct Retry: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "retry",
            abstract: "Has the Upload service try a rejected change again, or all that match.",
            discussion: """
                Each is decided as if its device sent it now, and answered to no device: the \
                device learns of the row by its next download. With --table, with --sqlstate too \
                if you like, the newest \(mostAtOnce) that match are tried, one after the other; \
                with --dry-run they are only counted. The service is reached over its socket (in \
                OVERSYNC_RUN, or the running dev stack's). Exits with 1 if a change is still not \
                applied. Recorded in the audit.
                """)

        /// How long the service may take for one change.
        private static let patience = Duration.seconds(30)
        /// Changes that one command tries: as many as one list of the service has.
        private static let mostAtOnce = 1000

        @Argument(help: "Its number, from oversync failures list.")
        var id: Int64?
        @Option(
            help: "All of this business table (schema.table).",
            transform: TableName.init(argument:)
        )
        var table: TableName?
        @Option(help: "With --table: only those that this SQLSTATE refused, such as 23503.")
        var sqlstate: String?
        @Flag(help: "With --table: count them, and try none.")
        var dryRun = false
        @OptionGroup var output: OutputOptions
        @OptionGroup var stack: StackOptions

        func validate() throws {
            guard (id == nil) != (table == nil) else {
                throw ValidationError("name one change by its number, or many by --table")
            }
            guard table != nil || (sqlstate == nil && !dryRun) else {
                throw ValidationError("--sqlstate and --dry-run go with --table")
            }
        }

        func run() async throws {
            let role = try Configuration().value(TokenSettings.adminRole)
            let left = try await withService(.upload, in: stack) { client, context in
                var context = context
                context.deadline = .now + Self.patience
                // Upload checks the role by itself; the audit names this terminal.
                context.caller = CallerIdentity(
                    user: context.clientAddress ?? "terminal", device: "oversync", roles: [role])
                if let id {
                    return try await retry(id, client, context) ? 0 : 1
                }
                return try await retryAll(client, context)
            }
            if left > 0 { throw ExitCode(1) }
        }

        /// - Returns: how many are still not applied.
        private func retryAll(_ client: RPCClient, _ context: CallContext) async throws -> Int {
            var request = ListFailuresRequest()
            (request.schema, request.table) = (table?.schema ?? "", table?.table ?? "")
            request.limit = Int32(Self.mostAtOnce)
            let ids = try await client.call(UploadRPC.listFailures, request, context: context)
                .message.failures.filter { sqlstate == nil || $0.sqlstate == sqlstate }.map(\.id)
            guard !ids.isEmpty else {
                try await checkTable(client, context)
                let cause = sqlstate.map { " that SQLSTATE \($0) refused" } ?? ""
                FileHandle.standardError.write(
                    Data(
                        ("\(printable(table?.description ?? "")) has no rejected changes\(cause): "
                            + "see oversync failures list\n").utf8))
                return 0
            }
            if dryRun {
                print("\(Words.count(Int64(ids.count), "change")) would be tried")
                return 0
            }
            var left = 0
            // The oldest first, as their devices sent them.
            for id in ids.sorted() {
                var context = context
                context.deadline = .now + Self.patience
                if try await !retry(id, client, context) { left += 1 }
            }
            if !output.json { print("\(ids.count - left) of \(ids.count) applied") }
            return left
        }

        /// - Throws: `StackError` if the service has never had the table: a misspelt name is not
        ///   one without rejected changes.
        private func checkTable(_ client: RPCClient, _ context: CallContext) async throws {
            guard let table else { return }
            var request = ReadCapabilitiesRequest()
            // Tables are looked up only for who names what it knows; a terminal knows nothing.
            request.readable = "unknown"
            (request.schema, request.tables) = (table.schema, [table.table])
            let reply = try await client.call(
                UploadRPC.readCapabilities, request, context: context
            ).message
            guard reply.unregistered.isEmpty else {
                throw StackError(
                    "no table \(printable(table.description)) is registered: see oversync tables")
            }
        }

        /// - Returns: whether it is applied now.
        private func retry(
            _ id: Int64, _ client: RPCClient, _ context: CallContext
        ) async throws -> Bool {
            var request = RetryFailureRequest()
            request.id = id
            do {
                let body = try await client.call(
                    UploadRPC.retryFailure, request, context: context
                ).body
                let reply = try JSONDecoder().decode(
                    ChangeStatus.self, from: Data(body.readableBytesView))
                print(output.json ? reply.document(of: id).text : reply.text(of: id))
                return reply.status == "applied"
            } catch let failure as RPCFailure where failure.code == "not_found" {
                // Of many, another one was faster with this one.
                guard self.id == nil else { throw StackError(FailuresCommand.unknown(id)) }
                return true
            }
        }
    }

    private static func unknown(_ id: Int64) -> String {
        "there is no open rejected change \(id): see oversync failures list"
    }

    /// Reads failures, and records in the audit who did.
    private static func read(
        _ statement: OpenFailures.List, of target: [String], on connection: PostgresConnection
    ) async throws -> [RecordedFailure] {
        let failures = try await connection.run(statement).all()
        try await connection.run(
            AuditStatements.Append(
                AuditEntry(
                    .listFailures, of: target.joined(separator: " "), by: .thisTerminal)))
        return failures
    }

    /// What Upload answers.
    private struct ChangeStatus: Decodable {
        let status: String
        let message: String?
        let new_server_version: Int64?
        let invalid: Invalid?

        struct Invalid: Decodable {
            let reason: String?
            let details: String?
        }

        private var why: String? { (message ?? invalid?.details ?? invalid?.reason).map(printable) }

        func text(of id: Int64) -> String {
            let version = new_server_version.map { ", the row has version \($0)" } ?? ""
            return "\(id): \(status)\(version)" + (why.map { ": \($0)" } ?? "")
        }

        func document(of id: Int64) -> JSONDocument {
            [
                "id": .integer(id), "status": .string(status),
                "row_version": new_server_version.map { .integer($0) },
                "message": why.map { .string($0) },
            ]
        }
    }
}

extension RecordedFailure {
    fileprivate var cells: [String] {
        [
            "\(id)", firstSeen, printable(place.user.value), printable("\(table)"), printable(key),
            operation, "\(sqlState) \(printable(error))",
        ]
    }

    fileprivate var text: String {
        """
        number            \(id)
        since             \(firstSeen)
        user, device      \(printable(place.user.value)), \(printable(place.device.value))
        table, key        \(printable("\(table)")), \(printable(key))
        change            \(operation), change id \(changeID), for version \(attemptedVersion)
        the row now       \(rowVersion == 0 ? "was never written" : "version \(rowVersion)")\
        \(isStale ? ", so this change is settled" : "")
        tried             \(retryCount + 1) times
        SQLSTATE          \(sqlState)
        PostgreSQL said   \(printable(error))
        payload           \(payload.isEmpty ? "none" : Self.shown(payload))
        """
    }

    /// JSON whose characters neither speak to a terminal nor reorder its line: escaped, it is the
    /// same JSON.
    static func shown(_ json: String) -> String {
        var shown = ""
        for scalar in json.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse,
                .unassigned:
                for unit in String(scalar).utf16 {
                    let digits = String(unit, radix: 16)
                    shown += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                }
            default: shown.unicodeScalars.append(scalar)
            }
        }
        return shown
    }

    fileprivate var document: JSONDocument {
        [
            "id": .integer(id), "user_id": .string(place.user.value),
            "source_id": .string(place.device.value), "source_change_id": .integer(changeID),
            "schema": .string(table.schema), "table": .string(table.table), "pk": .string(key),
            "attempted_version": .integer(attemptedVersion), "row_version": .integer(rowVersion),
            "op": .string(operation),
            "payload": payload.isEmpty ? nil : .written(Self.shown(payload)),
            "sqlstate": .string(sqlState), "error": .string(error),
            "first_seen": .string(firstSeen), "retry_count": .integer(Int64(retryCount)),
        ]
    }
}
