import Foundation
import Glibc

@testable import RPC

/// `rpc-test-replica`, running. Killed with the value.
// Sendable: `process` is set up in `init` and only waited for afterwards; signals go by its id.
final class ReplicaProcess: @unchecked Sendable {
    private let process = Process()
    let name: String

    init(_ name: String, in directory: RunDirectory, user: UInt32? = nil) throws {
        self.name = name
        // Beside the binary of the tests, wherever that was built.
        let tests = URL(
            filePath: try FileManager.default.destinationOfSymbolicLink(
                atPath: "/proc/self/exe"))
        process.executableURL = tests.deletingLastPathComponent().appending(
            component: "rpc-test-replica")
        process.arguments = [directory.path, name] + (user.map { ["\($0)"] } ?? [])
        process.standardInput = FileHandle.nullDevice
        try process.run()
    }

    deinit {
        if process.isRunning {
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }
    }

    func send(_ signal: Int32) {
        kill(process.processIdentifier, signal)
    }

    /// `kill -9`; returns when the process is gone.
    func kill9() {
        send(SIGKILL)
        process.waitUntilExit()
    }
}
