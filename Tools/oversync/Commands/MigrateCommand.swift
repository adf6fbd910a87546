import ArgumentParser
import Foundation
import Model
import OperatorKit
import Postgres
import ServiceKit
import Sidecar
import WireJSON

/// `oversync migrate`: brings a database to this program's layout and registers the tables.
struct MigrateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "migrate",
        abstract: """
            Creates or updates the sidecar and the services' roles, and registers the tables of \
            oversync.yaml.
            """,
        discussion: """
            With --plan it changes nothing and prints the SQL that it would run, for review. The \
            plan never contains passwords: a comment stands where migrate sets one. It \
            does not contain what fk-deferrable does; use --dry-run there. See \
            Docs/runbooks/review-a-migration.md.
            """,
        subcommands: [Up.self, Status.self, DeferrableKeysCommand.self], defaultSubcommand: Up.self)

    /// Where the database is.
    struct Database: ParsableArguments {
        @Option(
            name: .customLong("database"),
            help:
                "PostgreSQL connection string (default: OVERSYNC_DATABASE_URL, then the running dev stack)."
        )
        var url: String?
        @OptionGroup var stack: StackOptions

        /// - Throws: `StackError` or `ConfigurationError` that names what is wrong, without the connection string.
        func resolve() throws -> PostgresConfiguration {
            let settings = Configuration()
            guard url?.allSatisfy(\.isWhitespace) != true else {
                throw StackError("--database is empty: name a database, or leave it out")
            }
            let named = try url ?? settings.optional(CommonSettings.databaseURL)
            guard let text = named ?? StackAddress.running(in: stack.directory)?.database else {
                throw StackError("no database: use --database or set OVERSYNC_DATABASE_URL")
            }
            var configuration: PostgresConfiguration
            do throws(PostgresError) {
                configuration = try PostgresConfiguration(url: text, applicationName: "oversync")
            } catch {
                let source = url == nil ? CommonSettings.databaseURL.key : "--database"
                throw StackError(
                    "\(source) is not a PostgreSQL connection string (postgresql://user@host/database)"
                )
            }
            if named != nil, let password = try settings.optional(CommonSettings.databasePassword) {
                configuration.keywords["password"] = password
            }
            // What its role or the database is set to changes nothing; a pooler of sessions takes
            // these, too.
            configuration.settingsDelivery = .afterConnect
            configuration.sessionSettings = Dictionary(
                uniqueKeysWithValues: RenderingSettings.all.filter { $0.name != "row_security" })
            return configuration
        }
    }

    /// Which file registers the tables.
    struct RegistrationOption: ParsableArguments {
        @Option(
            help: """
                Path of oversync.yaml (default: the one in this folder, then the running dev \
                stack's).
                """)
        var config: String?

        /// - Throws: `StackError` if there is none.
        func path(with stack: StackOptions) throws -> String {
            let here = "oversync.yaml"
            if let config { return config }
            if FileManager.default.fileExists(atPath: here) { return here }
            if StackAddress.running(in: stack.directory) != nil {
                return stack.directory.registrations
            }
            throw StackError("there is no \(here) in this folder: use --config to name one")
        }
    }

    struct Up: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Applies what is missing (the default).",
            discussion: """
                --plan takes the same steps in a transaction, rolls it back, and prints the SQL of \
                each step. It prints statements on triggers without trying them, because they lock \
                business tables. It never prints passwords. The plan is for review: psql executes \
                nothing of it.

                --partitions splits the log and the states of rows by user into this many parts, \
                or puts them together again (1). Stop the services first: it copies all rows in \
                one transaction. See Docs/operations/partitions.md. Without it they stay as they \
                are.
                """)
        @OptionGroup var database: Database
        @OptionGroup var file: RegistrationOption
        @Flag(help: "Print the SQL that would run, without passwords, and change nothing.")
        var plan = false
        @Option(
            help: """
                Parts of the log and of the states of rows, \(Partitioning.counts.lowerBound) to \
                \(Partitioning.counts.upperBound); 1 for tables without parts.
                """)
        var partitions: Int?

        func validate() throws {
            guard let partitions, !Partitioning.counts.contains(partitions) else { return }
            throw ValidationError("\(PartitionError.count(partitions))")
        }

        func run() async throws {
            let partitioning = partitions.map { Partitioning(count: $0) }
            let registrations = try RegistrationFile.read(
                path: try file.path(with: database.stack))
            if registrations.isEmpty {
                FileHandle.standardError.write(
                    Data("warning: \(RegistrationFile.noTables)\n".utf8))
            }
            let roles = try RoleSettings.request(Configuration())
            try await withConnection(to: try database.resolve()) { connection in
                let status = try await Migrator(connection: connection).status()
                // While a new version is rolled out, or taken back, compose runs the old version's job, too.
                if status.isOneAhead {
                    let remark =
                        "layout \(status.version) is one ahead of this program: "
                        + "layout, roles and tables stay as they are"
                    return print(plan ? "-- Nothing to do: \(remark)" : remark)
                }
                try await partitioning?.check(on: connection, isPlan: plan)
                guard plan else {
                    try await Self.execute(
                        registrations, roles, partitioning, on: connection, status)
                    return print(
                        "layout \(Migration.currentVersion), "
                            + "\(registrations.count) tables registered")
                }
                let text = try await MigrationRun.rehearse(on: connection) { run in
                    try await Self.migrate(registrations, roles, in: run, report: { _ in })
                    try await partitioning?.apply(in: run, report: { _ in })
                }.description
                // Not `print`, which says nothing of a full disk: half a plan must not look whole.
                try FileHandle.standardOutput.write(contentsOf: Data("\(text)\n".utf8))
            }
        }

        /// Takes the steps, and records them in the audit, which is there once the layout is.
        private static func execute(
            _ registrations: [TableRegistration], _ roles: RoleRequest,
            _ partitioning: Partitioning?, on connection: PostgresConnection,
            _ status: Migrator.Status
        ) async throws {
            let run = MigrationRun(on: connection)
            let begin = {
                try await AuditTrail.ofThisTerminal.begin(
                    .migrate, of: "layout \(Migration.currentVersion)",
                    ["layout": .integer(Int64(status.version))], on: connection)
            }
            var operation = status.pending.isEmpty ? try await begin() : nil
            var remarks: [String] = []
            do {
                try await migrate(registrations, roles, in: run) {
                    if operation == nil { operation = try await begin() }
                } report: {
                    remarks.append($0)
                    print($0)
                }
                var progress = ProgressLine()
                defer { progress.end() }
                try await partitioning?.apply(in: run) {
                    remarks.append($0)
                    progress.end()
                    print($0)
                    fflush(nil)
                } progress: {
                    progress.show($0, of: $1, "pages copied")
                }
                try await operation?.finish(on: connection, details(registrations, remarks))
            } catch {
                await operation?.fail(error, on: connection)
                throw error
            }
        }

        private static func details(
            _ registrations: [TableRegistration], _ remarks: [String]
        ) -> JSONDocument {
            [
                "tables": .integer(Int64(registrations.count)),
                "done": .array(remarks.map { .string($0) }),
            ]
        }

        /// The steps, the same whether they are executed or rehearsed.
        ///
        /// - Parameter laidOut: called once the layout is current.
        static func migrate(
            _ registrations: [TableRegistration], _ roles: RoleRequest, in run: MigrationRun,
            laidOut: () async throws -> Void = {}, report: (String) -> Void
        ) async throws {
            for name in try await Migrator(in: run).migrate() { report("applied \(name)") }
            try await laidOut()
            try await RoleInstallation(roles, in: run).apply().forEach(report)
            let before = try await registered(on: run.connection)
            try await Registration.apply(registrations, in: run, by: .thisTerminal)
                .forEach(report)
            for name in before.subtracting(try await registered(on: run.connection)).sorted() {
                report("removed \(name): its rows and log stay, its changes no longer sync")
            }
        }

        private static func registered(on connection: PostgresConnection) async throws -> Set<
            String
        > {
            let tables = try await Catalog.readTables(on: connection)
            return Set(tables.filter { !$0.isRemoved }.map(\.name.description))
        }
    }

    struct Status: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Shows what is missing, and exits with 1 if anything is.")
        @OptionGroup var output: OutputOptions
        @OptionGroup var database: Database

        func run() async throws {
            let isWhole = try await withConnection(to: try database.resolve()) { connection in
                let status = try await Migrator(connection: connection).status()
                // The roles are on record in the layout at hand only.
                let isCurrent = status.pending.isEmpty
                let roles = isCurrent ? try await RoleGrants.installed(on: connection) : []
                let missing = isCurrent ? try await RoleGrants.missing(on: connection) : []
                print(
                    output.json
                        ? Self.document(status, roles, missing).text
                        : Self.text(status, roles, missing))
                return isCurrent && !roles.isEmpty && missing.isEmpty
            }
            if !isWhole { throw ExitCode(1) }
        }

        private static func text(
            _ status: Migrator.Status, _ roles: [InstalledRole], _ missing: [RoleGrant]
        ) -> String {
            var lines = ["layout \(status.version) of \(Migration.currentVersion)"]
            lines += status.pending.map { "pending \($0)" }
            if status.pending.isEmpty, roles.isEmpty {
                lines.append("no roles: run oversync migrate")
            }
            lines += roles.map { role in
                let origin = role.isManaged ? "created by oversync" : "granted to, not altered"
                return
                    "role \(role.name) for \(role.purpose.rawValue) (\(role.exists ? origin : "missing"))"
            }
            lines += missing.map { "missing \($0.privilege) for \($0.role)" }
            return lines.joined(separator: "\n")
        }

        private static func document(
            _ status: Migrator.Status, _ roles: [InstalledRole], _ missing: [RoleGrant]
        ) -> JSONDocument {
            [
                "layout": .integer(Int64(status.version)),
                "newest_layout": .integer(Int64(Migration.currentVersion)),
                "pending": .array(status.pending.map { .string($0) }),
                "roles": .array(
                    roles.map {
                        [
                            "name": .string($0.name), "purpose": .string($0.purpose.rawValue),
                            "exists": .bool($0.exists), "is_managed": .bool($0.isManaged),
                        ]
                    }),
                "missing": .array(missing.map { .string("\($0.privilege) for \($0.role)") }),
            ]
        }
    }
}
