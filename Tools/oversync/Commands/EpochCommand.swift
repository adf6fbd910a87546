import ArgumentParser
import OperatorKit
import Sidecar
import WireJSON

/// `oversync epoch`: names the database's history.
struct EpochCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "epoch",
        abstract: "Shows the name of the database's history, or begins a new one.",
        subcommands: [Show.self, New.self])

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "show", abstract: "Prints the epoch, and since when it holds.")

        @OptionGroup var output: OutputOptions
        @OptionGroup var database: MigrateCommand.Database

        func run() async throws {
            let epoch = try await withConnection(to: try database.resolve()) {
                try await Epoch.read(on: $0)
            }
            let since = epoch.began ?? epoch.created
            let document: JSONDocument = ["epoch": .string(epoch.id), "since": .string(since)]
            print(output.json ? document.text : "\(epoch.id), since \(since)")
        }
    }

    struct New: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "new",
            abstract: "Begins a new epoch: every device reads everything again.",
            discussion: """
                A restore or a failover needs none: devices find out by themselves what the server \
                has lost. Begin one where the sequences of the logs mean nothing any more, as in \
                another database with the same users. Recorded in sync.audit.
                """)

        @Option(help: "Why, for the record.")
        var reason = ""
        @OptionGroup var database: MigrateCommand.Database

        func run() async throws {
            let (before, after) = try await withConnection(to: try database.resolve()) {
                connection in
                try await AuditTrail.ofThisTerminal.recordingFailure(
                    of: .newEpoch, to: "a new epoch", on: connection
                ) {
                    try await Epoch.begin(on: connection, because: reason, by: .thisTerminal)
                }
            }
            print(
                "\(after), after \(before): each device reads its user's log again at its next sync"
            )
        }
    }
}
