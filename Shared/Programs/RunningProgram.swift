import Foundation
import Synchronization

/// A program that runs while other things are done. It is killed with the value.
package final class RunningProgram: Sendable {
    /// Its process number.
    package let id: Int32
    private let run: Task<Int32, any Error>
    private let state: State

    private final class State: Sendable {
        /// Its exit code once it has ended.
        let status = Mutex<Int32?>(nil)
    }

    /// Starts it. It reads nothing.
    ///
    /// - Parameter output: the file to which all its output is appended; nil leaves it this
    ///   process's outputs.
    package init(_ program: Program, output: String? = nil) async throws {
        let state = State()
        let handle = try output.map { try FileHandle(forWritingTo: URL(filePath: $0)) }
        _ = try handle?.seekToEnd()
        let (starts, start) = AsyncStream.makeStream(of: Int32.self)
        let run = Task {
            defer {
                start.finish()
                try? handle?.close()
            }
            let status = try await program.run(
                output: handle?.fileDescriptor ?? STDOUT_FILENO,
                error: handle?.fileDescriptor ?? STDERR_FILENO
            ) { start.yield($0) }
            state.status.withLock { $0 = status }
            return status
        }
        var started: Int32?
        for await id in starts {
            started = id
            break
        }
        guard let started else {
            throw RunFailure(reason: "\(program.path) did not start: \(await run.result)")
        }
        (id, self.run, self.state) = (started, run, state)
    }

    deinit { send(SIGKILL) }

    package var isRunning: Bool { state.status.withLock { $0 == nil } }

    /// Sends a signal, unless it has ended: its number may be another's then.
    package func send(_ signal: Int32) {
        state.status.withLock { if $0 == nil { kill(id, signal) } }
    }

    /// It was stopped by a signal, with all of its threads. Known on Linux alone.
    package var isStopped: Bool {
        let tasks = "/proc/\(id)/task"
        let threads = (try? FileManager.default.contentsOfDirectory(atPath: tasks)) ?? []
        return !threads.isEmpty
            && threads.allSatisfy { thread in
                let file = "\(tasks)/\(thread)/stat"
                let stat = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
                // The name in parentheses may hold anything.
                return stat.suffix(from: stat.lastIndex(of: ")") ?? stat.startIndex)
                    .hasPrefix(") T")
            }
    }

    /// Waits for its end.
    ///
    /// - Returns: its exit code; 128 and the signal's number if a signal ended it.
    package func end() async throws -> Int32 { try await run.value }
}

private struct RunFailure: Error, CustomStringConvertible {
    let reason: String
    var description: String { reason }
}
