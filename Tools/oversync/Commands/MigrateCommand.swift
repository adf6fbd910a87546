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
            plan never contains passwords: a comment stands where migrate sets one. Nor \
            does it contain what fk-deferrable does, which has --dry-run. See \
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

    struct Up: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Applies what is missing (the default).",
            discussion: """
                --plan takes the same steps in a transaction, rolls it back, and prints the SQL of \
                each step. It prints statements on triggers without trying them, because they lock \
                business tables. It never prints passwords. The plan is for review: psql executes \
                nothing of it.
                """)
        @OptionGroup var database: Database
        @Option(
            help: """
                Path of oversync.yaml (default: the one in this folder, then the running dev \
                stack's).
                """)
        var config: String?
        @Flag(help: "Print the SQL that would run, without passwords, and change nothing.")
        var plan = false

        func run() async throws {
            let registrations = try RegistrationFile.read(path: try file())
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
                guard plan else {
                    try await Self.execute(registrations, roles, on: connection, status)
                    return print(
                        "layout \(Migration.currentVersion), "
                            + "\(registrations.count) tables registered")
                }
                let text = try await MigrationRun.rehearse(on: connection) { run in
                    try await Self.migrate(registrations, roles, in: run, report: { _ in })
                }.description
                // Not `print`, which says nothing of a full disk: half a plan must not look whole.
                try FileHandle.standardOutput.write(contentsOf: Data("\(text)\n".utf8))
            }
        }

        /// Takes the steps, and records them in the audit, which is there once the layout is.
        private static func execute(
            _ registrations: [TableRegistration], _ roles: RoleRequest,
            on connection: PostgresConnection, _ status: Migrator.Status
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
        private static func migrate(
            _ registrations: [TableRegistration], _ roles: RoleRequest, in run: MigrationRun,
            laidOut: () async throws -> Void = {}, report: (String) -> Void
        ) async throws {
            for name in try await Migrator(in: run).migrate() { report("applied \(name)") }
            try await laidOut()
            try await RoleInstallation(roles, in: run).apply().forEach(report)
            let before = try await registered(on: run.connection)
            try await Registration.apply(registrations, in: run).forEach(report)
            for name in before.subtracting(try await registered(on: run.connection)).sorted() {
                report("removed \(name): its rows and log stay, its changes no longer sync")
            }
        }

        private func file() throws -> String {
            let here = "oversync.yaml"
            if let config { return config }
            if FileManager.default.fileExists(atPath: here) { return here }
            let ofStack = database.stack.directory.registrations
            if StackAddress.running(in: database.stack.directory) != nil { return ofStack }
            throw StackError("there is no \(here) in this folder: use --config to name one")
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
        @OptionGroup var database: Database

        func run() async throws {
            try await withConnection(to: try database.resolve()) { connection in
                let status = try await Migrator(connection: connection).status()
                print("layout \(status.version) of \(Migration.currentVersion)")
                for name in status.pending { print("pending \(name)") }
                // The roles are on record in the layout at hand only.
                if !status.pending.isEmpty { throw ExitCode(1) }
                if try await !Self.rolesAreWhole(on: connection) { throw ExitCode(1) }
            }
        }

        private static func rolesAreWhole(on connection: PostgresConnection) async throws -> Bool {
            let roles = try await RoleGrants.installed(on: connection)
            if roles.isEmpty { print("no roles: run oversync migrate") }
            for role in roles {
                let origin = role.isManaged ? "created by oversync" : "granted to, not altered"
                print(
                    "role \(role.name) for \(role.purpose.rawValue) (\(role.exists ? origin : "missing"))"
                )
            }
            let missing = try await RoleGrants.missing(on: connection)
            for grant in missing { print("missing \(grant.privilege) for \(grant.role)") }
            return !roles.isEmpty && missing.isEmpty
        }
    }
}
