import ArgumentParser
import Demo
import DevStack
import Foundation
import GatewayAccess
import Logging
import OperatorKit

/// `oversync-dev demo`: the main job on real data.
struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract:
            "Syncs the ISO code lists between three devices and PostgreSQL, and proves that all agree.",
        discussion: """
            Uses the stack that `oversync-dev dev` runs in the folder, or starts one and stops it at the end. \
            What a run leaves is kept for the next. The exit code is 1 if anything differs.

            With --gateway it uses any running stack, with users that the stack has not seen before. The \
            demo's tables must be registered there: --print-schema and --print-config print what makes them.
            """)

    @OptionGroup var stack: StackOptions
    @Option(help: "Port of the gateway when the demo starts the stack; 0 chooses a free one.")
    var port = 0
    @Option(help: "How many Download replicas the demo starts.")
    var downloads = 2
    @OptionGroup var gateway: GatewayOptions
    @Option(help: "With --gateway: the PostgreSQL schema with the demo's tables.")
    var schema = DemoTables.schema
    @Option(help: "With --gateway: connection string, to compare PostgreSQL's copy too.")
    var database: String?
    @Flag(help: "Prints the SQL that makes the demo's tables, and ends.")
    var printSchema = false
    @Flag(help: "Prints the oversync.yaml that registers the demo's tables, and ends.")
    var printConfig = false

    func validate() throws {
        guard (0...65_535).contains(port) else {
            throw ValidationError("--port must be 0 to 65535")
        }
        guard (1...16).contains(downloads) else {
            throw ValidationError("--downloads must be 1 to 16")
        }
        try checkSchema(schema)
        guard !(printSchema && printConfig) else {
            throw ValidationError("--print-schema and --print-config: give one of them")
        }
        guard gateway.url != nil || database == nil else {
            throw ValidationError("--database goes with --gateway")
        }
        guard gateway.url != nil || printSchema || printConfig || schema == DemoTables.schema
        else { throw ValidationError("--schema goes with --gateway") }
    }

    func run() async throws {
        if printSchema { return print(DemoTables.businessSchema(in: schema), terminator: "") }
        if printConfig { return print(DemoTables.registrations(in: schema), terminator: "") }
        let isEqual: Bool
        if let access = try await gateway.access() {
            isEqual = try await demonstrate(access)
        } else {
            isEqual = try await demonstrateHere()
        }
        print(isEqual ? "\nAll copies are equal." : "\nThe copies differ.")
        if !isEqual { throw ExitCode(1) }
    }

    /// On a stack that is reached through HTTPS. Devices' files go at the end: nobody will be these users again.
    private func demonstrate(_ access: GatewayAccess) async throws -> Bool {
        try await access.check(
            schema: schema, tables: DemoTables.names, advice: DemoTables.advice(schema: schema))
        let folder =
            FileManager.default.temporaryDirectory.path + "/oversync-demo-"
            + UUID().uuidString.prefix(8)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        print("uses the stack at \(access.url)")
        let server = DemoServer(access, schema: schema, database: database)
        return try await DemoRun(
            server: server, people: .strangers(), folder: folder, say: Self.say
        ).run()
    }

    /// On the private stack of the folder.
    private func demonstrateHere() async throws -> Bool {
        let directory = stack.directory
        if let running = StackAddress.running(in: directory) {
            print("uses the running stack at \(running.gateway)")
            return try await Self.demonstrate(running, directory)
        }
        var plan = Stack.Plan(
            directory: directory, registrations: DemoTables.registrations,
            businessSchema: DemoTables.businessSchema)
        plan.port = port
        plan.downloadReplicas = downloads
        print("starts a stack in \(directory.root)")
        let started = try await Stack(plan, logger: ConsoleLogHandler.logger(.notice))
        return try await started.run(logger: ConsoleLogHandler.logger(.warning)) { address in
            try await Self.demonstrate(address, directory)
        }
    }

    private static func demonstrate(_ address: StackAddress, _ directory: StackDirectory)
        async throws -> Bool
    {
        try await DemoRun(
            server: DemoServer(address), folder: directory.root + "/demo", say: say
        ).run()
    }

    private static let say: @Sendable (String) -> Void = { line in
        print(line)
        fflush(nil)
    }
}
