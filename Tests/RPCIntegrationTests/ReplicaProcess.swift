import Foundation
import Programs

@testable import RPC

/// `rpc-test-replica`, running. Killed with the value.
final class ReplicaProcess: Sendable {
    private let running: RunningProgram
    let name: String

    init(_ name: String, in directory: RunDirectory, user: UInt32? = nil) async throws {
        self.name = name
        running = try await RunningProgram(
            Program(
                try Self.executable(), [directory.path, name] + (user.map { ["\($0)"] } ?? [])))
    }

    /// In the folder of the tests' binary.
    static func executable() throws -> String {
        let tests = URL(
            filePath: try FileManager.default.destinationOfSymbolicLink(
                atPath: "/proc/self/exe"))
        return tests.deletingLastPathComponent().appending(component: "rpc-test-replica").path
    }

    func send(_ signal: Int32) { running.send(signal) }

    /// Stops it without its knowing; returns when all its threads have stopped. On busy processors
    /// that takes a while after the signal.
    func freeze() async throws {
        send(SIGSTOP)
        try await eventually { running.isStopped }
    }

    func thaw() { send(SIGCONT) }

    /// `kill -9`; returns when the process is gone.
    func kill9() async throws {
        send(SIGKILL)
        _ = try await running.end()
    }
}
