import ArgumentParser
import Foundation
import ObservabilityFiles
import Testing

@testable import oversync
@testable import oversync_dev

/// The commands of the runbooks name programs, subcommands, options, services and routes that
/// exist.
@Suite("Commands of runbooks")
struct RunbookCommandsTests {
    /// Programs of the system that runbooks use, with the subcommands of those that have some.
    private static let programs: [String: Set<String>?] = [
        "psql": nil, "curl": nil, "grep": nil, "sort": nil, "uniq": nil, "head": nil, "df": nil,
        "date": nil, "cat": nil, "promtool": ["query"], "openssl": ["x509", "s_client"],
        "docker": ["compose"],
    ]
    private static let compose: Set = ["ps", "logs", "up", "restart", "run", "exec", "kill"]

    @Test func `every command of every runbook could be run`() throws {
        var checked = 0
        for page in try Runbook.all() {
            for command in page.commands {
                checked += 1
                do {
                    try Self.check(command)
                } catch {
                    Issue.record("\(page.name): \(command.joined(separator: " ")): \(error)")
                }
            }
        }
        #expect(checked > 150)
    }

    @Test func `words are parted as a shell parts them`() {
        let text = #"""
            a "b c" 'd "e"' f\ g # nothing
            psql "$X" -c "SELECT \"x\"" | head >/dev/null
            long \
                --option
            """#
        #expect(
            ShellText.commands(in: text) == [
                ["a", "b c", #"d "e""#, "f g"], ["psql", "$X", "-c", #"SELECT "x""#], ["head"],
                ["long", "--option"],
            ])
    }

    private struct Wrong: Error, CustomStringConvertible {
        let description: String
    }

    private static func check(_ command: [String]) throws {
        let arguments = Array(command.dropFirst())
        switch command[0] {
        case "oversync":
            do { _ = try Oversync.parseAsRoot(arguments) } catch {
                throw Wrong(description: Oversync.message(for: error))
            }
        case "oversync-dev":
            do { _ = try OversyncDev.parseAsRoot(arguments) } catch {
                throw Wrong(description: OversyncDev.message(for: error))
            }
        case let path where path.hasPrefix("Deploy/"):
            _ = try ObservabilityFiles.text(of: path)
            if path == backups { try checkBackups(arguments) }
        default: try checkProgram(command)
        }
    }

    private static let backups = "Deploy/backup/backup.sh"

    private static func checkBackups(_ arguments: [String]) throws {
        let script = try ObservabilityFiles.text(of: backups)
        guard let word = arguments.first, script.contains("#   backup.sh \(word) ") else {
            throw Wrong(description: "\(backups) does not know \(arguments)")
        }
    }

    /// What runs in a container.
    private static func check(_ words: [String], in service: String) throws {
        switch (service, words.first) {
        case ("tool", _): try check(["oversync"] + words)
        case ("backup", "bash"):
            // As compose.yaml mounts it.
            guard words.dropFirst().first == "/etc/oversync/backup.sh" else {
                throw Wrong(description: "no script of the container")
            }
            try checkBackups(Array(words.dropFirst(2)))
        case ("postgres", "psql"): break
        case (_, "--check"): break
        default: throw Wrong(description: "nobody knows what runs in \(service)")
        }
    }

    private static func checkProgram(_ command: [String]) throws {
        guard let subcommands = programs[command[0]] else {
            throw Wrong(description: "nobody knows the program \(command[0])")
        }
        if let subcommands, command.count < 2 || !subcommands.contains(command[1]) {
            throw Wrong(description: "no subcommand of \(command[0])")
        }
        if command.starts(with: ["docker", "compose"]) {
            try checkCompose(Array(command.dropFirst(2)))
        }
        for word in command where word.hasPrefix("$ADMIN/") {
            guard ["live", "ready", "metrics"].contains(word.dropFirst("$ADMIN/".count)) else {
                throw Wrong(description: "no route of the admin listener")
            }
        }
        for word in command where word.hasPrefix("$GATEWAY/") {
            let path = word.dropFirst("$GATEWAY".count).prefix { $0 != "?" }
            guard try ObservabilityFiles.text(of: "Docs/openapi.yaml").contains("\n  \(path):\n")
            else {
                throw Wrong(description: "no route of the gateway")
            }
        }
    }

    private static func checkCompose(_ arguments: [String]) throws {
        guard let verb = arguments.first, compose.contains(verb) else {
            throw Wrong(description: "no subcommand of docker compose")
        }
        let file = try ObservabilityFiles.text(of: "Deploy/compose.yaml")
        var isValue = false
        for (place, word) in arguments.enumerated().dropFirst() {
            if isValue {
                isValue = false
            } else if word.hasPrefix("-") {
                isValue = ["--since", "--tail", "-s"].contains(word)
            } else if !file.contains("\n  \(word):\n") {
                throw Wrong(description: "no service \(word)")
            } else if ["run", "exec"].contains(verb) {
                // The rest is for the program.
                return try check(Array(arguments.dropFirst(place + 1)), in: word)
            }
        }
    }
}
