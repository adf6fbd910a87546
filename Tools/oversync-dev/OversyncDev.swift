import ArgumentParser
import ServiceKit

/// The developer's tool: whatever starts a stack, plays a device or measures.
@main
struct OversyncDev: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "oversync-dev",
        abstract: "Runs, demonstrates and measures Oversync. Operators use `oversync`.",
        version: BuildInfo.line("oversync-dev"),
        subcommands: [
            DevCommand.self, DemoCommand.self, NotesCommand.self, BenchCommand.self,
            GapCommand.self, LoadCommand.self, RestoreDrillCommand.self, SiegeCommand.self,
            SoakCommand.self,
        ])
}
