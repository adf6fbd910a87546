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
            "Syncs the ISO code lists between three devices and PostgreSQL, and checks that all agree.",
        discussion: """
            Uses the stack that `oversync-dev dev` runs in the folder, or starts one and stops it at the end. \
            Each run keeps its data for the next one. Exits with 1 if anything differs.

            With --gateway it uses any running stack, with users that are new to it. The demo's tables must be \
            registered there: --print-schema and --print-config print the SQL and the lines of oversync.yaml.
            """)

    @OptionGroup var stack: StackOptions
    @Option(help: "The gateway's port if the demo starts the stack; 0 picks a free one.")
    var port = 0
    @Option(help: "Download replicas if the demo starts the stack (1 to 16).")
    var downloads = 2
    @OptionGroup var gateway: GatewayOptions
    @Option(help: "With --gateway: the PostgreSQL schema with the demo's tables.")
    var schema = DemoTables.schema
    @Option(
        help: "With --gateway: PostgreSQL connection string, to compare the copy there as well.")
    var database: String?
    @Flag(help: "Print the SQL that creates the demo's tables, and exit.")
    var printSchema = false
    @Flag(help: "Print the oversync.yaml that registers the demo's tables, and exit.")
    var printConfig = false

    func validate() throws {
        guard (0...65_535).contains(port) else {
            throw ValidationError("--port must be between 0 and 65535")
        }
        guard (1...16).contains(downloads) else {
            throw ValidationError("--downloads must be between 1 and 16")
        }
        try checkSchema(schema)
        guard !(printSchema && printConfig) else {
            throw ValidationError("use --print-schema or --print-config, not both")
        }
        guard gateway.url != nil || database == nil else {
            throw ValidationError("--database needs --gateway")
        }
        guard gateway.url != nil || printSchema || printConfig || schema == DemoTables.schema
        else { throw ValidationError("--schema needs --gateway") }
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
