import ArgumentParser
import DevStack
import Foundation
import LocalPostgres
import Logging
import OperatorKit
import RestoreDrill

/// `oversync-dev restore-drill`: whether a restored database gets back what it lost.
struct RestoreDrillCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore-drill",
        abstract:
            "Restores a backup of a stack with live devices, and checks that nothing is lost.",
        discussion: """
            Starts a stack of its own. Devices write and sync without pause; Deploy/backup takes \
            a base backup and receives the WAL. Then PostgreSQL is killed, and restored to a \
            moment before the last acknowledged changes. Nobody begins a new epoch: the devices \
            notice by themselves. Prints what was acknowledged, lost by PostgreSQL, restored by \
            devices and reported. Exits with 1, and keeps the stack's folder, unless all of it \
            came back and all copies are equal.
            """)

    @Option(help: "The number of moments, one after another, that the database is restored to.")
    var points = 1
    @Option(help: "The number of devices.")
    var devices = 4
    @Option(help: "The first moment's seed.")
    var seed: UInt64 = 1
    @Option(
        help: "Write each restore to this file, as lines of JSON, and leave out those that it has.")
    var record: String?
    @Option(help: "The folder of backup.sh and restore.sh.")
    var scripts = RestoreDrill.Plan().scripts
    @OptionGroup var stack: StackOptions

    func validate() throws {
        guard (1...10_000).contains(points) else {
            throw ValidationError("--points must be between 1 and 10000")
        }
        guard (1...32).contains(devices) else {
            throw ValidationError("--devices must be between 1 and 32")
        }
        for name in ["backup.sh", "restore.sh"] {
            guard FileManager.default.isReadableFile(atPath: "\(scripts)/\(name)") else {
                throw ValidationError(
                    "--scripts: there is no \(scripts)/\(name); run this in the repository's folder"
                )
            }
        }
    }

    func run() async throws {
        let recorded = try earlier()
        let known = Set(recorded.map(\.seed))
        let left = (seed..<seed + UInt64(points)).filter { !known.contains($0) }
        guard !left.isEmpty else {
            print("\(points) restores are recorded in \(record ?? ""); none is left.")
            return try judge(recorded, faultsKept: nil)
        }
        var plan = RestoreDrill.Plan()
        plan.devices = devices
        plan.seed = seed &+ UInt64(known.count)
        plan.scripts = scripts
        let directory = StackDirectory(stack.directory.root + "/restore-drill")
        // The database is killed, not the machine: what it has written survives that.
        var stackPlan = disposableStack(in: directory.root)
        stackPlan.postgresSettings = ["fsync": "off"]
        let started = try await Stack(
            stackPlan, logger: ConsoleLogHandler.logger(.notice))
        let new = try await started.run(logger: ConsoleLogHandler.logger(.error)) {
            [plan, record] _ in
            var (new, next) = ([RestoreReport](), left.makeIterator())
            print(RestoreReport.heading)
            try await RestoreDrill.run(
                plan, on: started, next: { new.last?.faults.isEmpty == false ? nil : next.next() }
            ) { report in
                new.append(report)
                print(report.line)
                fflush(nil)
                if let record, report.faults.isEmpty { try Self.append(report, to: record) }
            }
            return new
        }
        let isClean = new.allSatisfy(\.faults.isEmpty)
        if isClean {
            try await started.postgres.destroy()
            try FileManager.default.removeItem(atPath: directory.root)
        }
        try judge(recorded + new, faultsKept: isClean ? nil : directory.root)
    }

    /// Prints the sums.
    private func judge(_ reports: [RestoreReport], faultsKept folder: String?) throws {
        let lost = reports.map(\.lost).reduce(0, +)
        let restored = reports.map(\.restored).reduce(0, +)
        print("\n\(reports.count) restores: PostgreSQL lost \(lost) rows,", terminator: " ")
        print("devices restored \(restored).")
        guard let folder else {
            return print("Every lost change was reported and came back, and all copies are equal.")
        }
        for report in reports {
            for fault in report.faults { print("seed \(report.seed): \(fault)") }
        }
        print("The stack is kept in \(folder).")
        throw ExitCode(1)
    }

    private func earlier() throws -> [RestoreReport] {
        guard let record, FileManager.default.fileExists(atPath: record) else { return [] }
        let lines = try String(contentsOfFile: record, encoding: .utf8).split(separator: "\n")
        return try lines.map { line in
            do { return try JSONDecoder().decode(RestoreReport.self, from: Data(line.utf8)) } catch
            {
                throw StackError("--record \(record): not a record of restores: \(line.prefix(80))")
            }
        }
    }

    private static func append(_ report: RestoreReport, to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        let line = try encoder.encode(report) + Data("\n".utf8)
        guard FileManager.default.fileExists(atPath: path) else {
            return try line.write(to: URL(fileURLWithPath: path))
        }
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
        defer { try? file.close() }
        try file.seekToEnd()
        try file.write(contentsOf: line)
    }
}
