import Foundation

/// Runs programs and waits for them without holding a thread.
enum Shell {
    /// Runs a program to its end and returns what it printed.
    ///
    /// Its output goes to a file, not a pipe: a server that it leaves behind would keep a pipe open.
    @discardableResult
    static func run(_ program: String, _ arguments: [String]) async throws -> String {
        let output = FileManager.default.temporaryDirectory
            .appendingPathComponent("oversync-\(UUID().uuidString).out")
        try Data().write(to: output)
        defer { try? FileManager.default.removeItem(at: output) }
        let handle = try FileHandle(forWritingTo: output)
        defer { try? handle.close() }

        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = handle
        process.standardError = handle
        // Another user may not be able to enter ours.
        process.currentDirectoryURL = URL(fileURLWithPath: "/")
        let status = try await withCheckedThrowingContinuation {
            (continuation: CheckedContinuation<Int32, any Error>) in
            process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
            do { try process.run() } catch { continuation.resume(throwing: error) }
        }
        let text = (try? String(contentsOf: output, encoding: .utf8)) ?? ""
        if status != 0 {
            throw LocalPostgresError.commandFailed(
                program: ([program] + arguments).joined(separator: " "), status: status,
                output: text.trimmingCharacters(in: .whitespacesAndNewlines))
        }
        return text
    }

    /// Finds a program on PATH or among Debian's versioned PostgreSQL directories, newest first.
    static func find(_ program: String) throws(LocalPostgresError) -> String {
        let onPath = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        let root = "/usr/lib/postgresql"
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
        let versioned = versions.compactMap { Int($0) }.sorted(by: >).map { "\(root)/\($0)/bin" }
        let sbin = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
        for directory in onPath.map(String.init) + versioned + sbin {
            let path = "\(directory)/\(program)"
            if FileManager.default.isExecutableFile(atPath: path) { return path }
        }
        throw .programMissing(program)
    }
}
