import Dispatch
import Foundation

/// Runs programs and waits for them without holding one of Swift's threads.
///
/// Not Foundation's `Process`: on Linux it notices the end of a program by a descriptor that a
/// server left behind by the program inherits, so that starting one would never end.
package enum Shell {
    private static let waiting = DispatchQueue(label: "shell.wait", attributes: .concurrent)

    /// Runs a program to its end and returns what it printed.
    ///
    /// Its output goes to a file, not a pipe: a server that it leaves behind would keep a pipe open.
    @discardableResult
    package static func run(_ program: String, _ arguments: [String]) async throws -> String {
        let output = FileManager.default.temporaryDirectory
            .appendingPathComponent("oversync-\(UUID().uuidString).out")
        defer { try? FileManager.default.removeItem(at: output) }
        // From the root directory, since another user may not be able to enter ours.
        let script = #"cd / && out=$1 && shift && exec "$@" </dev/null >"$out" 2>&1"#
        let id = try spawn([try find("sh"), "-c", script, "sh", output.path, program] + arguments)
        let status = await end(of: id)
        let text = (try? String(contentsOf: output, encoding: .utf8)) ?? ""
        if status != 0 {
            throw LocalPostgresError.commandFailed(
                program: ([program] + arguments).joined(separator: " "), status: status,
                output: text.trimmingCharacters(in: .whitespacesAndNewlines))
        }
        return text
    }

    /// Starts a program, whose path comes first, and returns its process. No signal is blocked in it, whatever the
    /// thread blocks that starts it: pgbench ends by an alarm.
    ///
    /// - Parameter input: becomes the program's standard input.
    static func spawn(_ command: [String], input: Int32? = nil) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let input { posix_spawn_file_actions_adddup2(&actions, input, 0) }
        // A server inherits nothing else. Foundation's `Process` tells the end of a program by a descriptor that is
        // closed with it: held by a server that started at that moment, the end would never be noticed.
        for descriptor in STDERR_FILENO + 1...highestDescriptor() + openedMeanwhile {
            posix_spawn_file_actions_addclose(&actions, descriptor)
        }
        let arguments = command.map { strdup($0) } + [nil]
        let environment = ProcessInfo.processInfo.environment.map { strdup("\($0)=\($1)") } + [nil]
        defer { for text in arguments + environment { free(text) } }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var nothing = sigset_t()
        sigemptyset(&nothing)
        posix_spawnattr_setsigmask(&attributes, &nothing)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var id = pid_t()
        let status = posix_spawn(&id, command[0], &actions, &attributes, arguments, environment)
        if status != 0 {
            throw LocalPostgresError.unusable(
                path: command[0], reason: String(cString: strerror(status)))
        }
        return id
    }

    /// Descriptors that other threads may open while a program is being started.
    private static let openedMeanwhile: Int32 = 64

    private static func highestDescriptor() -> Int32 {
        let open = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
        return open.compactMap { Int32($0) }.max() ?? STDERR_FILENO
    }

    /// Two ends of a stream that no other program inherits unless it is given one.
    static func makePipe() throws -> (read: Int32, write: Int32) {
        var ends: [Int32] = [-1, -1]
        // Closed in every program that this process starts; else one of them would hold it too. A
        // socket pair, since Swift's Glibc has no pipe that is made so in one step.
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else {
            let reason = String(cString: strerror(errno))
            throw LocalPostgresError.unusable(path: "a socket pair", reason: reason)
        }
        return (ends[0], ends[1])
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

    /// Waits until the process has ended, and gives its status.
    @discardableResult
    static func end(of id: pid_t) async -> Int32 {
        await withCheckedContinuation { continuation in
            waiting.async { continuation.resume(returning: wait(for: id)) }
        }
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
