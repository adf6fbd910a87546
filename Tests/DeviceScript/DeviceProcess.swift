import Dispatch
import Foundation
import Glibc

/// `device-chaos`, run to its end or its death.
///
/// Not Foundation's `Process`, whose `run()` must not be called by two threads at once.
package enum DeviceProcess {
    package struct End: Sendable {
        /// The signal that ended it; 0: none.
        package let signal: Int32
        package let status: Int32
        package let lines: [String]

        package var wasKilled: Bool { signal == SIGKILL }
        package var isSuccess: Bool { signal == 0 && status == 0 }

        /// The number after a word.
        package func number(_ word: String) -> Int? {
            lines.first { $0.hasPrefix(word + " ") }?.split(separator: " ").dropFirst().first
                .flatMap { Int($0) }
        }
    }

    private struct CannotStart: Error { let status: Int32 }

    private static let waiting = DispatchQueue(label: "device-chaos", attributes: .concurrent)

    /// - Parameter output: a file that gets what it prints.
    package static func run(_ arguments: [String], output: String) async throws -> End {
        // In the folder of the tests' binary.
        let tests = URL(
            filePath: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
        let program = tests.deletingLastPathComponent().appending(component: "device-chaos").path
        let id = try spawn([program] + arguments, output: output)
        let status = await withCheckedContinuation { continuation in
            waiting.async { continuation.resume(returning: wait(for: id)) }
        }
        let text = try String(contentsOfFile: output, encoding: .utf8)
        return End(
            signal: status & 0x7f, status: (status >> 8) & 0xff,
            lines: text.split(separator: "\n").map(String.init))
    }

    private static func spawn(_ command: [String], output: String) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(
            &actions, STDOUT_FILENO, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        let arguments = command.map { strdup($0) } + [nil]
        let environment = ProcessInfo.processInfo.environment.map { strdup("\($0)=\($1)") } + [nil]
        defer { for text in arguments + environment { free(text) } }
        var id = pid_t()
        let status = posix_spawn(&id, command[0], &actions, nil, arguments, environment)
        guard status == 0 else { throw CannotStart(status: status) }
        return id
    }

    private static func wait(for id: pid_t) -> Int32 {
        var status: Int32 = 0
        while waitpid(id, &status, 0) < 0, errno == EINTR {}
        return status
    }
}
