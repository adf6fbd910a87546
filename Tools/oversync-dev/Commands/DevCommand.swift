import ArgumentParser
import Demo
import DevStack
import Foundation
import Logging
import Notes
import OperatorKit
import ServiceLifecycle

/// `oversync-dev dev`: the whole stack for an app developer's machine.
struct DevCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dev",
        abstract:
            "Runs the whole stack on a private PostgreSQL, with development certificates and sign-in.",
        discussion: """
            Keeps everything in one folder between runs. Without --config and --schema it serves the tables \
            of `oversync-dev demo` and `oversync-dev notes`. Ctrl-C stops everything.
            """)

    @OptionGroup var stack: StackOptions
    @OptionGroup var options: StackRunOptions

    func run() async throws {
        let logger = ConsoleLogHandler.logger()
        if let running = StackAddress.running(in: stack.directory) {
            throw StackError("a stack already runs in this folder: \(running.gateway)")
        }
        let prepared = try await Stack(try options.plan(stack.directory), logger: logger)
        do {
            try await prepared.run(logger: ConsoleLogHandler.logger(.warning)) { address in
                print(greeting(address))
                fflush(nil)
                try await gracefulShutdown()
            }
        } catch is StackInterrupted {
            // Ctrl-C, which is how it ends.
        }
    }

    private static let consolePath = "/admin/console"

    /// Its commands can be pasted into another terminal as they are.
    private func greeting(_ address: StackAddress) -> String {
        var lines = [
            "gateway    \(address.gateway)", "authority  \(address.authority)",
            "database   \(address.database)", "log        \(stack.directory.log)",
            "a token    \(command("oversync", "token")) --user alice --device phone",
        ]
        if let port = options.consolePort {
            lines.append("console    https://127.0.0.1:\(port)\(Self.consolePath)")
        }
        // The app's tables are among those of a stack that was not given others.
        if options.config == nil {
            lines.append("an app     \(command("oversync-dev", "notes")) --as alice")
        }
        return """
            Oversync is ready.
            \(lines.map { "  " + $0 }.joined(separator: "\n"))
            Ctrl-C stops it.
            """
    }

    /// A command for this very stack, of a program in this one's folder. It works in any folder of
    /// the other terminal.
    private func command(_ program: String, _ name: String) -> String {
        let path = (try? Executables.find(program)) ?? program
        return [path, name, "--directory", stack.directory.root].map(Self.shellQuoted)
            .joined(separator: " ")
    }

    /// A word as a shell takes it.
    private static func shellQuoted(_ word: String) -> String {
        let isPlain = word.utf8.allSatisfy { byte in
            byte &- UInt8(ascii: "0") < 10 || (byte | 0x20) &- UInt8(ascii: "a") < 26
                || "/._-".utf8.contains(byte)
        }
        return isPlain ? word : "'" + word.replacing("'", with: "'\\''") + "'"
    }
}

/// How `dev` and `demo` start a stack.
struct StackRunOptions: ParsableArguments {
    @Option(help: "The gateway's port on loopback; 0 picks a free one.")
    var port = 8443
    @Option(help: "Download replicas to run (1 to 16).")
    var downloads = 2
    @Option(
        help: """
            The first port of the services' admin listeners on loopback: gateway, Auth, Upload, \
            then each Download (default: free ones).
            """)
    var adminPorts: Int?
    @Option(
        help: """
            The port of the gateway for administrators on loopback, with the console \
            (Docs/console.md; default: none).
            """)
    var consolePort: Int?
    @Option(help: "Path of oversync.yaml, which lists the tables that sync.")
    var config: String?
    @Option(help: "SQL file that creates the business tables; it runs at every start.")
    var schema: String?

    func validate() throws {
        guard (0...65_535).contains(port) else {
            throw ValidationError("--port must be between 0 and 65535")
        }
        guard (1...16).contains(downloads) else {
            throw ValidationError("--downloads must be between 1 and 16")
        }
        if let adminPorts, !(1...65_500).contains(adminPorts) {
            throw ValidationError("--admin-ports must be between 1 and 65500")
        }
        if let consolePort, !(1...65_535).contains(consolePort) {
            throw ValidationError("--console-port must be between 1 and 65535")
        }
    }

    func plan(_ directory: StackDirectory) throws -> Stack.Plan {
        var plan = Stack.Plan(
            directory: directory, registrations: try text(config) ?? Self.exampleRegistrations,
            businessSchema: try text(schema) ?? (config == nil ? Self.exampleSchema : ""))
        plan.port = port
        plan.downloadReplicas = downloads
        plan.adminPorts = adminPorts
        if let consolePort {
            plan.environmentOf["gateway", default: [:]]["OVERSYNC_GATEWAY_ADMIN_PORT"] =
                "\(consolePort)"
        }
        return plan
    }

    private static let exampleSchema = DemoTables.businessSchema + NotesTables.businessSchema

    /// One list of both examples' tables.
    private static let exampleRegistrations =
        DemoTables.registrations
        + NotesTables.registrations.split(separator: "\n").filter { $0.hasPrefix("  - ") }
        .joined(separator: "\n") + "\n"

    private func text(_ path: String?) throws -> String? {
        guard let path else { return nil }
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            throw StackError("cannot read \(path)")
        }
        return text
    }
}
