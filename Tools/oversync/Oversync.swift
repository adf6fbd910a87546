import ArgumentParser
import DevStack
import Foundation
import Logging

/// The operator's and developer's tool.
@main
struct Oversync: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "oversync",
        abstract: "Two-way, offline-first sync between SQLite on devices and your own PostgreSQL.",
        subcommands: [
            DevCommand.self, DemoCommand.self, MigrateCommand.self, AdoptCommand.self,
            VerifyCommand.self, CompactCommand.self, TokenCommand.self, BenchCommand.self,
            GapCommand.self, NotesCommand.self,
        ])
}

/// Where a command finds the private stack of `oversync dev`.
struct StackOptions: ParsableArguments {
    @Option(name: .customLong("directory"), help: "The private stack's folder.")
    var path = ".oversync"

    var directory: StackDirectory { StackDirectory(path) }
}

/// Lines for a person at a terminal: the message, then what belongs to it.
struct ConsoleLogHandler: LogHandler {
    var logLevel: Logger.Level = .info
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let all = metadata.merging(event.metadata ?? [:]) { _, new in new }
        let details = all.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
        let prefix = event.level >= .warning ? "\(event.level): " : ""
        FileHandle.standardError.write(Data("\(prefix)\(event.message)\(details)\n".utf8))
    }

    /// What the tool itself has to say.
    static func logger(_ level: Logger.Level = .info) -> Logger {
        Logger(label: "oversync") { _ in
            var handler = ConsoleLogHandler()
            handler.logLevel = level
            return handler
        }
    }
}
