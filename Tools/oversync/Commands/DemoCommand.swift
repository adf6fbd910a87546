import ArgumentParser
import Demo
import DevStack
import Foundation
import Logging

/// `oversync demo`: the main job on real data.
struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract:
            "Syncs the ISO code lists between three devices and PostgreSQL, and proves that all agree.",
        discussion: """
            Uses the stack that `oversync dev` runs in the folder, or starts one and stops it at the end. \
            What a run leaves is kept for the next. The exit code is 1 if anything differs.
            """)

    @OptionGroup var stack: StackOptions
    @Option(help: "Port of the gateway when the demo starts the stack; 0 chooses a free one.")
    var port = 0
    @Option(help: "How many Download replicas the demo starts.")
    var downloads = 2

    func validate() throws {
        guard (0...65_535).contains(port) else {
            throw ValidationError("--port must be 0 to 65535")
        }
        guard (1...16).contains(downloads) else {
            throw ValidationError("--downloads must be 1 to 16")
        }
    }

    func run() async throws {
        let directory = stack.directory
        let isEqual: Bool
        if let running = StackAddress.running(in: directory) {
            print("uses the running stack at \(running.gateway)")
            isEqual = try await Self.demonstrate(running, directory)
        } else {
            let logger = ConsoleLogHandler.logger(.notice)
            var plan = Stack.Plan(
                directory: directory, registrations: DemoTables.registrations,
                businessSchema: DemoTables.businessSchema)
            plan.port = port
            plan.downloadReplicas = downloads
            print("starts a stack in \(directory.root)")
            let started = try await Stack(plan, logger: logger)
            isEqual = try await started.run(logger: ConsoleLogHandler.logger(.warning)) { address in
                try await Self.demonstrate(address, directory)
            }
        }
        print(isEqual ? "\nAll copies are equal." : "\nThe copies differ.")
        if !isEqual { throw ExitCode(1) }
    }

    private static func demonstrate(_ address: StackAddress, _ directory: StackDirectory)
        async throws -> Bool
    {
        let demo = try DemoRun(stack: address, folder: directory.root + "/demo") { line in
            print(line)
            fflush(nil)
        }
        return try await demo.run()
    }
}
