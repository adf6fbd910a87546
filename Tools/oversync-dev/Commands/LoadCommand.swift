import ArgumentParser
import Demo
import Foundation
import GatewayAccess
import Load
import OperatorKit
import UnixSignals

/// `oversync-dev load`: devices that write and read without pause while a stack is disturbed.
struct LoadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load",
        abstract: "Writes and reads through HTTPS, and checks that no acknowledged change is lost.",
        discussion: """
            Devices of new users write to the demo's table `users`. Each repeats a request until it is \
            answered, and records every acknowledged change in a file before it sends the next request. Other \
            devices follow the logs by long poll and watch. Prints counts as JSON; SIGINT and SIGTERM end it \
            early. Devices repeat requests after broken connections and after 429 and 503 with Retry-After. \
            Any other error answer ends the run; the exit code is then 1.

            With --verify it reads the logs of all users in the file instead, and exits with 1 unless each \
            acknowledged change is there exactly once. Without --gateway it uses the stack that \
            `oversync-dev dev` runs in the folder.
            """)

    @OptionGroup var gateway: GatewayOptions
    @OptionGroup var stack: StackOptions
    @Option(help: "The PostgreSQL schema with the demo's tables.")
    var schema = DemoTables.schema
    @Option(help: "How long devices write, in seconds (0.1 to 86400).")
    var seconds = LoadRun.Plan().seconds
    @Option(help: "Devices that write (1 to 1000).")
    var writers = LoadRun.Plan().writers
    @Option(help: "Devices that read (0 to 1000).")
    var readers = LoadRun.Plan().readers
    @Option(help: "File to append acknowledged changes to, one JSON object per line.")
    var acknowledged: String?
    @Option(help: "Compare the changes in this file with the logs, and write nothing.")
    var verify: String?

    func validate() throws {
        guard (0.1...86_400).contains(seconds) else {
            throw ValidationError("--seconds must be between 0.1 and 86400")
        }
        guard (1...1000).contains(writers) else {
            throw ValidationError("--writers must be between 1 and 1000")
        }
        guard (0...1000).contains(readers) else {
            throw ValidationError("--readers must be between 0 and 1000")
        }
        try checkSchema(schema)
        guard (acknowledged == nil) != (verify == nil) else {
            throw ValidationError("use --acknowledged FILE to write, or --verify FILE to compare")
        }
    }

    func run() async throws {
        let access = try await access()
        if let verify {
            let acknowledged = try AcknowledgedFile.read(verify)
            let report = try await AcknowledgedCheck(gateway: access).run(acknowledged)
            try show(report)
            if !report.isClean { throw ExitCode(1) }
        } else if let acknowledged {
            let report = try await load(access, try AcknowledgedFile(acknowledged))
            try show(report)
            if !report.fatal.isEmpty { throw ExitCode(1) }
        }
    }

    private func access() async throws -> GatewayAccess {
        if let named = try await gateway.access() { return named }
        guard let running = StackAddress.running(in: stack.directory) else {
            throw StackError("no stack: use --gateway, or run oversync-dev dev")
        }
        return try await GatewayAccess(running)
    }

    private func load(_ access: GatewayAccess, _ file: AcknowledgedFile) async throws -> LoadReport
    {
        try await access.check(
            schema: schema, tables: LoadRun.tables, advice: DemoTables.advice(schema: schema))
        var plan = LoadRun.Plan()
        plan.seconds = seconds
        plan.writers = writers
        plan.readers = readers
        plan.schema = schema
        let load = LoadRun(plan, gateway: access, file: file)
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        return try await withThrowingTaskGroup(of: LoadReport?.self) { group in
            group.addTask { try await load.perform() }
            group.addTask {
                for await _ in signals { load.stop() }
                return nil
            }
            defer { group.cancelAll() }
            for try await report in group {
                if let report { return report }
            }
            throw CancellationError()
        }
    }

    private func show(_ report: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        print(String(decoding: try encoder.encode(report), as: UTF8.self))
    }
}
