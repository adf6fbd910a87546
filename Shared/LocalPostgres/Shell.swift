import Dispatch
import Foundation

/// Runs programs and waits for them without holding one of Swift's threads.
///
/// Not Foundation's `Process`: on Linux it notices the end of a program by a descriptor that a
/// server left behind by the program inherits, so that starting one would never end.
enum Shell {
    private static let waiting = DispatchQueue(label: "shell.wait", attributes: .concurrent)

    /// Runs a program to its end and returns what it printed.
    ///
    /// Its output goes to a file, not a pipe: a server that it leaves behind would keep a pipe open.
    @discardableResult
    static func run(_ program: String, _ arguments: [String]) async throws -> String {
        let output = FileManager.default.temporaryDirectory
            .appendingPathComponent("oversync-\(UUID().uuidString).out")
        defer { try? FileManager.default.removeItem(at: output) }
        // From the root directory, since another user may not be able to enter ours.
        let script = #"cd / && out=$1 && shift && exec "$@" </dev/null >"$out" 2>&1"#
        let id = try spawn([try find("sh"), "-c", script, "sh", output.path, program] + arguments)
        let status = await withCheckedContinuation { continuation in
            waiting.async { continuation.resume(returning: wait(for: id)) }
        }
        let text = (try? String(contentsOf: output, encoding: .utf8)) ?? ""
        if status != 0 {
            throw LocalPostgresError.commandFailed(
                program: ([program] + arguments).joined(separator: " "), status: status,
                output: text.trimmingCharacters(in: .whitespacesAndNewlines))
        }
        return text
    }

    /// Starts a program, whose path comes first, and returns its process.
    ///
    /// - Parameter input: becomes the program's standard input.
    static func spawn(_ command: [String], input: Int32? = nil) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let input { posix_spawn_file_actions_adddup2(&actions, input, 0) }
        let arguments = command.map { strdup($0) } + [nil]
        let environment = ProcessInfo.processInfo.environment.map { strdup("\($0)=\($1)") } + [nil]
        defer { for text in arguments + environment { free(text) } }
        var id = pid_t()
        let status = posix_spawn(&id, command[0], &actions, nil, arguments, environment)
        if status != 0 {
            throw LocalPostgresError.unusable(
                path: command[0], reason: String(cString: strerror(status)))
        }
        return id
    }

    /// Finds a program on PATH or among Debian's versioned PostgreSQL directories, newest first.
    static func find(_ program: String) throws(LocalPostgresError) -> String {
        let onPath = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        let root = "/usr/lib/postgresql"
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
        let versioned = versions.compactMap { Int($0) }.sorted(by: >).map { "\(root)/\($0)/bin" }
        let system = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
        for directory in onPath.map(String.init) + versioned + system {
            let path = "\(directory)/\(program)"
            if FileManager.default.isExecutableFile(atPath: path) { return path }
        }
        throw .programMissing(program)
    }

    /// Blocks until the process has ended; a signal counts from 128, as in a shell.
    private static func wait(for id: pid_t) -> Int32 {
        var status: Int32 = 0
        while waitpid(id, &status, 0) < 0 {
            if errno != EINTR { return -1 }
        }
        let signal = status & 0x7f
        return signal == 0 ? (status >> 8) & 0xff : 128 + signal
    }
}
