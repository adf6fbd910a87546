import Foundation

/// `device-chaos`, run to its end or its death.
enum DeviceProcess {
    struct End: Sendable {
        let wasKilled: Bool
        let status: Int32
        let lines: [String]

        /// The number behind a word.
        func number(_ word: String) -> Int? {
            lines.first { $0.hasPrefix(word + " ") }?.split(separator: " ").dropFirst().first
                .flatMap { Int($0) }
        }
    }

    static func run(_ arguments: [String]) async throws -> End {
        // Beside the binary of the tests, wherever that was built.
        let tests = URL(
            filePath: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
        let process = Process()
        process.executableURL = tests.deletingLastPathComponent().appending(
            component: "device-chaos")
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        let output = Pipe()
        process.standardOutput = output
        let (ends, continuation) = AsyncStream<(Bool, Int32)>.makeStream()
        process.terminationHandler = { process in
            continuation.yield(
                (process.terminationReason == .uncaughtSignal, process.terminationStatus))
            continuation.finish()
        }
        try process.run()
        var end = (false, Int32(-1))
        for await found in ends { end = found }
        // Less than a pipe holds, so that it is all there once the process is gone.
        let text = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        return End(
            wasKilled: end.0, status: end.1,
            lines: text.split(separator: "\n").map(String.init))
    }
}
