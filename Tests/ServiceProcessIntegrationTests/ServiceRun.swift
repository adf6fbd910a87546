import DevStack
import Foundation
import Programs
import Synchronization
import Testing

/// The program of a service.
enum ServiceName: String, CaseIterable, Sendable {
    case gateway, auth, upload, download

    var program: String { "oversync-" + rawValue }
    var hasSocket: Bool { self != .gateway }
    var hasDatabase: Bool { self != .gateway }
}

/// A line that a service has logged.
struct LogLine: Decodable, Sendable {
    let ts: String
    let level: String
    let service: String
    let message: String
    let setting: String?
    let source: String?

    /// Nil for the sake of a clear failure where it is used.
    var time: Date? {
        try? Date(ts, strategy: Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }
}

/// One run of a service's program. Killed with the value.
final class ServiceRun: Sendable {
    /// Longest time that any of these programs may take to do anything, on a machine with much else to do.
    static let patience: Duration = .seconds(60)

    private let running: RunningProgram
    private let output: String

    /// - Parameters:
    ///   - environment: all of it.
    ///   - wrapper: a program with arguments that runs the service.
    init(
        _ service: ServiceName, _ environment: [String: String], _ arguments: [String] = [],
        in folder: TestFolder, wrapper: [String] = []
    ) async throws {
        output = "\(folder.path)/output-\(UUID().uuidString.prefix(8))"
        try Data().write(to: URL(filePath: output))
        let command = wrapper + [try Executables.find(service.program)] + arguments
        running = try await RunningProgram(
            Program(command[0], Array(command.dropFirst()), environment: environment),
            output: output)
    }

    var id: Int32 { running.id }
    var isRunning: Bool { running.isRunning }

    /// Everything that it wrote.
    var text: String { (try? String(contentsOfFile: output, encoding: .utf8)) ?? "" }
    var lines: [String] { text.split(separator: "\n").map(String.init) }
    var log: [LogLine] {
        lines.compactMap { try? JSONDecoder().decode(LogLine.self, from: Data($0.utf8)) }
    }

    /// How many lines have this in their message.
    func count(of message: String) -> Int { log.count { $0.message.contains(message) } }

    func send(_ signal: Int32) { running.send(signal) }

    /// Waits for its end.
    ///
    /// - Returns: its exit code; 128 and the signal's number when a signal ended it.
    func exitCode() async throws -> Int32 {
        try await eventually("the program ends") { !isRunning }
        return try await running.end()
    }

    /// Waits for a line with this message.
    func logged(_ message: String, times: Int = 1) async throws {
        try await eventually("a line with \"\(message)\" in: \(text)") {
            count(of: message) >= times
        }
    }

    /// Sends SIGTERM and waits for its end.
    func stop() async throws {
        send(SIGTERM)
        #expect(try await exitCode() == 0)
    }
}

/// Polls a condition that has no event, with a deadline.
func eventually(
    _ what: @autoclosure () -> String, within time: Duration = ServiceRun.patience,
    _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + time
    while !(try await condition()) {
        try #require(ContinuousClock.now < deadline, "not in time: \(what())")
        // Between looks only; what passes is the condition, not the time.
        try await Task.sleep(for: .milliseconds(10))
    }
}

/// A folder that goes with the value.
final class TestFolder: Sendable {
    let path = "/tmp/oversync-process-\(UUID().uuidString.prefix(8))"

    init() throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes a file as configuration tools do: the new one takes the old one's place at once.
    @discardableResult
    func write(_ text: String, _ name: String) throws -> String {
        let file = "\(path)/\(name)"
        try Data(text.utf8).write(to: URL(filePath: file), options: .atomic)
        return file
    }

    func exists(_ name: String) -> Bool {
        FileManager.default.fileExists(atPath: "\(path)/\(name)")
    }

    /// Settings with which each service starts. No database answers there.
    func environment(_ more: [String: String?] = [:]) throws -> [String: String] {
        let certificate = try TestCertificate(in: self, "server")
        var all: [String: String?] = [
            "OVERSYNC_RUN": path + "/run", "OVERSYNC_REPLICA": "one", "OVERSYNC_ADMIN_PORT": "0",
            "OVERSYNC_GATEWAY_PORT": "0", "OVERSYNC_TLS_CERTIFICATE": certificate.certificate,
            "OVERSYNC_TLS_KEY": certificate.key,
            "OVERSYNC_AUTH_MASTER_KEY": String(repeating: "m", count: 32),
            "OVERSYNC_DATABASE_URL": "postgresql://nobody@/nowhere?host=\(path)",
        ]
        all.merge(more) { $1 }
        return all.compactMapValues(\.self)
    }
}
