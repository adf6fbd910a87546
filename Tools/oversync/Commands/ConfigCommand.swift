import ArgumentParser
import OperatorKit
import Postgres
import ServiceKit
import Sidecar
import WireJSON

/// `oversync config`: is what is configured right, and what is in effect?
struct ConfigCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config",
        abstract: "Checks oversync.yaml, or prints the registrations that are in effect.",
        subcommands: [Check.self, Print.self])

    struct Check: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "check",
            abstract: "Checks oversync.yaml and this tool's settings, and changes nothing.",
            discussion: """
                With a database, it also rehearses oversync migrate in a transaction that it rolls \
                back, so it takes the same short locks on the sidecar. Exits with 1 if something \
                is wrong. Services check their settings themselves: oversync-upload --check.
                """)

        @OptionGroup var file: MigrateCommand.RegistrationOption
        @Flag(inversion: .prefixedNo, help: "Compare with the database, too.")
        var rehearse = true
        @OptionGroup var output: OutputOptions
        @OptionGroup var database: MigrateCommand.Database

        func run() async throws {
            var problems: [String] = []
            var steps: Int?
            var tables: Int?
            let settings = Configuration()
            problems += RoleSettings.problems(in: settings).map { "\($0)" }
            problems += [CommonSettings.runDirectory.problem(in: settings)].compactMap {
                $0.map { "\($0)" }
            }
            do {
                let registrations = try RegistrationFile.read(
                    path: try file.path(with: database.stack))
                tables = registrations.count
                if rehearse, problems.isEmpty {
                    let roles = try RoleSettings.request(settings)
                    steps = try await withConnection(to: try database.resolve()) {
                        try await MigrationRun.rehearse(on: $0) { run in
                            try await MigrateCommand.Up.migrate(
                                registrations, roles, in: run, report: { _ in })
                        }.count
                    }
                }
            } catch {
                problems += "\(error)".split(separator: "\n").map(String.init)
            }
            show(problems, tables: tables, steps: steps)
            if !problems.isEmpty { throw ExitCode(1) }
        }

        private func show(_ problems: [String], tables: Int?, steps: Int?) {
            if output.json {
                let document: JSONDocument = [
                    "tables": tables.map { .integer(Int64($0)) },
                    "pending_transactions": steps.map { .integer(Int64($0)) },
                    "problems": .array(problems.map { .string($0) }),
                    "warnings": .array(tables == 0 ? [.string(RegistrationFile.noTables)] : []),
                ]
                return print(document.text)
            }
            for problem in problems { print("problem: \(problem)") }
            if let tables { print("oversync.yaml: \(Words.count(Int64(tables), "table"))") }
            if tables == 0 { print("warning: \(RegistrationFile.noTables)") }
            switch steps {
            case nil: break
            case 0?: print("database: nothing to do")
            case let count?:
                print(
                    "database: oversync migrate takes \(Words.count(Int64(count), "transaction")); "
                        + "--plan shows them")
            }
        }
    }

    struct Print: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "print",
            abstract: "Prints the tables that are registered in the database, as an oversync.yaml.",
            discussion: "Redirected to a file, it registers the same tables again.")

        @OptionGroup var database: MigrateCommand.Database

        func run() async throws {
            let tables = try await withConnection(to: try database.resolve()) {
                Catalog(tables: try await Catalog.readTables(on: $0)).tables
            }
            print(try RegistrationFile.text(of: tables), terminator: "")
        }
    }
}
