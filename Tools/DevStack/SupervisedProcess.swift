import Foundation
import Logging
import OperatorKit
import Programs
import ServiceLifecycle
import Waiting

/// Keeps one service process running: starts it, and starts it again when it ends by itself.
package struct SupervisedProcess: Service {
    /// The pauses before restarts that follow each other quickly.
    private static let backoff = Backoff(first: .milliseconds(100), longest: .seconds(5))
    /// A process that ran for this long was healthy: the pauses start again with the first.
    private static let healthyAfter: Duration = .seconds(10)
    /// Time from SIGTERM to SIGKILL: as in a container, more than a service takes.
    static let patience: Duration = .seconds(35)

    package let name: String
    let executable: String
    let environment: [String: String]
    let log: FileHandle
    /// Where a person finds `log`.
    let logPath: String
    let logger: Logger
    /// Most files that it may have open; nil for as many as this process may.
    let openFiles: Int?
    /// The user that it runs as; nil for this process's own.
    let user: ServiceUsers.User?

    /// - Parameters:
    ///   - log: what the process writes is appended to it.
    ///   - logPath: where `log` can be read.
    ///   - openFiles: most files that it may have open; nil for as many as this process may.
    ///   - user: what it runs as, if this process is root; nil for this process's own user.
    package init(
        name: String, executable: String, environment: [String: String], log: FileHandle,
        logPath: String, logger: Logger, openFiles: Int? = nil, user: ServiceUsers.User? = nil
    ) {
        self.name = name
        self.executable = executable
        self.environment = environment
        self.log = log
        self.logPath = logPath
        self.logger = logger
        self.openFiles = openFiles
        self.user = user
    }

    /// - Throws: `StackError` with the process's own words if it refuses its configuration.
    package func run() async throws {
        var backoff = Self.backoff
        while !Task.isShuttingDownGracefully, !Task.isCancelled {
            let start = ContinuousClock.now
            let status: Int32
            do {
                status = try await cancelWhenGracefulShutdown { try await runOnce() }
            } catch is CancellationError {
                return
            }
            if Task.isShuttingDownGracefully || Task.isCancelled { return }
            if status == EX_CONFIG {
                throw StackError(lastWords ?? "\(name) refused its configuration; see \(logPath)")
            }
            if status == 0 {
                // Somebody has sent it SIGTERM, and it has ended in order: that asks for a restart.
                logger.info("stopped; starting it again", metadata: ["process": "\(name)"])
                backoff.reset()
                continue
            }
            if ContinuousClock.now - start > Self.healthyAfter { backoff.reset() }
            logger.warning(
                "ended unexpectedly; starting it again",
                metadata: ["process": "\(name)", "status": "\(status)"])
            let pause = backoff.fail()
            try? await cancelWhenGracefulShutdown { try await Task.sleep(for: pause) }
        }
    }

    /// Runs it to its end and gives its status. A task that is cancelled ends it.
    private func runOnce() async throws -> Int32 {
        // Its end tells the service that this process is gone, however it went.
        let lifeline = Pipe()
        defer { withExtendedLifetime(lifeline) {} }
        return try await program.run(
            input: lifeline.fileHandleForReading.fileDescriptor, output: log.fileDescriptor,
            error: log.fileDescriptor
        ) { pid in
            logger.info("started", metadata: ["process": "\(name)", "pid": "\(pid)"])
        }
    }

    /// A limit is set by a shell, and the user by `setpriv`; both then become the program, under
    /// the same process number.
    private var program: Program {
        var words = (user?.launcher ?? []) + [executable]
        if let openFiles {
            words = ["/bin/sh", "-c", "ulimit -n \(openFiles) && exec \"$0\" \"$@\""] + words
        }
        return Program(
            words[0], Array(words.dropFirst()), environment: environment, patience: Self.patience)
    }

    /// Bytes at the log's end in which a process's last line is looked for.
    private static let lastWordsBytes: UInt64 = 64 << 10

    /// What the process said when it refused its configuration; the log is all processes' own.
    private var lastWords: String? {
        guard let file = FileHandle(forReadingAtPath: logPath), let size = try? file.seekToEnd(),
            (try? file.seek(toOffset: size - min(size, Self.lastWordsBytes))) != nil,
            let bytes = try? file.readToEnd()
        else { return nil }
        let program = URL(fileURLWithPath: executable).lastPathComponent
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").reversed().lazy
            .compactMap { Self.refusal(in: $0, of: program) }.first
    }

    private struct LogLine: Decodable {
        let level: String
        let service: String
        let message: String
    }

    private static func refusal(in line: Substring, of program: String) -> String? {
        guard let line = try? JSONDecoder().decode(LogLine.self, from: Data(line.utf8)),
            line.service == program, line.level == "critical"
        else { return nil }
        return "\(program): \(line.message)"
    }
}
