import Foundation
import LocalPostgres
import OperatorKit
import Postgres

/// The machine and the programs that a run was made with: numbers mean little without them.
struct MachineDescription: Codable, Hashable, Sendable {
    let date: String
    let cores: Int
    let processor: String
    /// Bytes.
    let memory: UInt64
    let kernel: String
    let postgres: String
    let swift: String
    let commit: String
    let build: String

    static let unknown = "unknown"

    /// - Parameter database: a PostgreSQL whose version is reported.
    static func read(database: String) async throws -> MachineDescription {
        let postgres = try await withConnection(to: database) { connection in
            let statement = Statement(
                name: "bench_version", sql: "SELECT current_setting('server_version')")
            return try await connection.rows(statement, of: String.self).one()
        }
        let folder = FileManager.default.currentDirectoryPath
        let information = ProcessInfo.processInfo
        let kernel = try? String(contentsOfFile: "/proc/sys/kernel/osrelease", encoding: .utf8)
        let changed = await output(
            "git", ["-C", folder, "status", "--porcelain", "--untracked-files=no"])
        let commit = await output("git", ["-C", folder, "rev-parse", "--short", "HEAD"]) ?? unknown
        return MachineDescription(
            date: Date().formatted(.iso8601), cores: information.activeProcessorCount,
            processor: processor, memory: information.physicalMemory,
            kernel: kernel.map { $0.trimmingCharacters(in: .whitespacesAndNewlines) } ?? unknown,
            postgres: postgres,
            swift: await output("swift", ["--version"]).map { line in
                line.split(separator: "\n").first { $0.contains("version") }.map(String.init)
                    ?? line
            } ?? unknown,
            commit: changed == "" || changed == nil ? commit : commit + " and changes",
            build: Self.isDebugBuild ? "debug" : "release")
    }

    var text: String {
        let gigabytes = Number.text(Double(memory) / 1_073_741_824)
        return """
            \(date), \(cores) cores (\(processor)), \(gigabytes) GB, Linux \(kernel), PostgreSQL \
            \(postgres), \(swift), commit \(commit), \(build) build.
            """
    }

    static var isDebugBuild: Bool {
        #if DEBUG
            true
        #else
            false
        #endif
    }

    private static var processor: String {
        let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("model name") }
        return line?.split(separator: ":").last.map { $0.trimmingCharacters(in: .whitespaces) }
            ?? unknown
    }

    private static func output(_ program: String, _ arguments: [String]) async -> String? {
        let text = try? await LocalPostgres.run(program: program, arguments)
        return text?.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
