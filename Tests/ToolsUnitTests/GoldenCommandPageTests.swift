import ArgumentParser
import Foundation
import TestSupport
import Testing

@testable import oversync

/// `Docs/cli.md`, which is made from the commands.
@Suite("The page of the commands")
struct GoldenCommandPageTests {
    /// Columns of the help texts.
    private static let columns = 100

    @Test("Docs/cli.md says what the commands say") func page() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let file = GoldenFile(at: root.appending(path: "Docs/cli.md"))
        let problem = try file.problem(with: Self.text)
        #expect(problem == nil, "\(problem ?? "")")
    }

    @Test("Every command that prints facts has --json") func json() {
        let without: Set = [
            // They print one word, SQL or YAML, or do something and say so.
            "token", "epoch new", "devices revoke", "devices restore", "audit prune",
            "keys rotate", "keys retire", "keys reseal", "clients new", "config print",
            "migrate up",
            "migrate fk-deferrable", "users hash",
        ]
        let commands = Self.leaves(of: Oversync.self, [])
        let lacking = commands.filter { !Oversync.helpMessage(for: $0.command).contains("--json") }
        #expect(Set(lacking.map { $0.path.joined(separator: " ") }) == without)
    }

    private static func leaves(
        of command: any ParsableCommand.Type, _ path: [String]
    ) -> [(path: [String], command: any ParsableCommand.Type)] {
        let subcommands = command.configuration.subcommands
        if subcommands.isEmpty { return [(path, command)] }
        return subcommands.flatMap { leaves(of: $0, path + [name(of: $0)]) }
    }

    private static func name(of command: any ParsableCommand.Type) -> String {
        command.configuration.commandName ?? command._commandName
    }

    private static var text: String {
        let parts = Oversync.configuration.subcommands.map { section($0, [name(of: $0)]) }
        return """
            # The command line

            <!-- Made from the commands by `make golden-record`: change those. -->

            `oversync` is the operator's tool. It works on the database; `token`, `status` and
            `failures retry` also call the services over their sockets. Every command takes
            `--help`; `oversync --version` says what this build is. With `--json`, a command prints
            one object, or one object a line where there are many; names of members stay as they
            are. A command that works for longer than a second shows how far it is, on a
            terminal's error output alone. It prints no colours.

            | exit code | meaning |
            |---|---|
            | 0 | done, and nothing needs you |
            | 1 | it could not be done, or something is not as it should be: the output says what |
            | 2 | `audit --since`: there are more rows than `--limit` |
            | 64 | a wrong option or argument |

            `oversync --generate-completion-script bash` (or `zsh`, `fish`) prints completions.
            The commands of development (`dev`, `demo`, `bench` and others) are those of
            `oversync-dev`, which `oversync dev` runs, too.

            \(parts.joined(separator: "\n"))
            """ + "\n"
    }

    private static func section(_ command: any ParsableCommand.Type, _ path: [String]) -> String {
        let help = Oversync.helpMessage(for: command, columns: columns)
        let level = String(repeating: "#", count: path.count + 1)
        let own = """
            \(level) oversync \(path.joined(separator: " "))

            ```
            \(help.trimmingCharacters(in: .newlines))
            ```

            """
        let others = command.configuration.subcommands.map { section($0, path + [name(of: $0)]) }
        return ([own] + others).joined(separator: "\n")
    }
}
