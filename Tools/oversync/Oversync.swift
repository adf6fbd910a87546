import ArgumentParser
import ServiceKit

/// The operator's tool. It links no part of the development stack.
@main
struct Oversync: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "oversync",
        abstract: "Two-way, offline-first sync between SQLite on devices and your own PostgreSQL.",
        discussion:
            "For development, `oversync-dev` runs a whole stack, the demo and the benchmark; "
            + "`oversync dev` runs it, too.",
        version: BuildInfo.line("oversync"),
        subcommands: [
            StatusCommand.self, TablesCommand.self, MigrateCommand.self, AdoptCommand.self,
            VerifyCommand.self, CompactCommand.self, EpochCommand.self, FailuresCommand.self,
            DevicesCommand.self, UsersCommand.self, AuditCommand.self, TokenCommand.self,
            KeysCommand.self, ClientsCommand.self, ConfigCommand.self,
        ])

    static func main() async {
        DevelopmentCommands.run(Array(CommandLine.arguments.dropFirst()))
        await main(nil)
    }
}
