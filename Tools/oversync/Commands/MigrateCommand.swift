import ArgumentParser
import Foundation
import Model
import OperatorKit
import Postgres
import ServiceKit
import Sidecar

/// `oversync migrate`: brings a database to this program's layout and registers the tables.
struct MigrateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "migrate",
        abstract:
            "Creates or updates the sidecar and the services' roles, and registers the tables of oversync.yaml.",
        subcommands: [Up.self, Status.self, DeferrableKeysCommand.self], defaultSubcommand: Up.self)

    /// Where the database is.
    struct Database: ParsableArguments {
        @Option(
            name: .customLong("database"),
            help: "Connection string; else OVERSYNC_DATABASE_URL, else the running dev stack's.")
        var url: String?
        @OptionGroup var stack: StackOptions

        /// - Throws: `StackError` or `ConfigurationError` that names what is wrong, without the connection string.
        func resolve() throws -> PostgresConfiguration {
            let settings = Configuration()
            let named = try url ?? settings.optional(CommonSettings.databaseURL)
            guard let text = named ?? StackAddress.running(in: stack.directory)?.database else {
                throw StackError("no database named: give --database or set OVERSYNC_DATABASE_URL")
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
            return configuration
        }
    }

    struct Up: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Applies what is missing (the default).")
        @OptionGroup var database: Database
        @Option(
            help:
                "Path of oversync.yaml; else the one in this folder, else the running dev stack's.")
        var config: String?

        func run() async throws {
            let registrations = try RegistrationFile.read(path: try file())
            let roles = try RoleSettings.request(Configuration())
            try await withConnection(to: try database.resolve()) { connection in
                let migrator = Migrator(connection: connection)
                let status = try await migrator.status()
                // While a new version is rolled out, or taken back, compose runs the old version's job, too.
                if status.isOneAhead {
                    return print(
                        "layout \(status.version), one ahead of this program: left as it is, tables and roles too"
                    )
                }
                let applied = try await migrator.migrate()
                for name in applied { print("applied \(name)") }
                let remarks = try await RoleInstallation(roles, connection: connection).apply()
                for remark in remarks { print(remark) }
                let before = try await Self.registered(on: connection)
                try await Registration.apply(registrations, on: connection)
                for name in before.subtracting(try await Self.registered(on: connection)).sorted() {
                    print("removed \(name): its rows and its log stay, its changes stop")
                }
                print(
                    "layout \(Migration.currentVersion), \(registrations.count) tables registered")
            }
        }

        private func file() throws -> String {
            let here = "oversync.yaml"
            if let config { return config }
            if FileManager.default.fileExists(atPath: here) { return here }
            let ofStack = database.stack.directory.registrations
            if StackAddress.running(in: database.stack.directory) != nil { return ofStack }
            throw StackError("there is no \(here) in this folder: name one with --config")
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
            abstract: "Says what is missing; exit code 1 if anything is.")
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
