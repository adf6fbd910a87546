import Foundation
import GRDB
import Logging
import OverSQLiteTestSupport
import Synchronization
import Testing

@testable import OverSQLite

/// What an engine writes to the app's log.
@Suite(.timeLimit(.minutes(1))) struct LogTests {
    /// Keeps each line: its level, text and metadata.
    private struct Recorder: LogHandler {
        final class Lines: Sendable {
            private let state = Mutex<[String]>([])

            var all: [String] { state.withLock { $0 } }

            func append(_ line: String) { state.withLock { $0.append(line) } }

            func count(_ start: String) -> Int { all.count { $0.hasPrefix(start) } }
        }

        let lines: Lines
        var metadata: Logger.Metadata = [:]
        var logLevel: Logger.Level = .trace

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let pairs = (event.metadata ?? [:]).map { "\($0)=\($1)" }.sorted()
            lines.append(
                (["\(event.level)", "\(event.message)"] + pairs).joined(separator: " "))
        }
    }

    private static func logged() -> (Recorder.Lines, (inout SyncConfiguration) -> Void) {
        let lines = Recorder.Lines()
        return (lines, { $0.logger = Logger(label: "app") { _ in Recorder(lines: lines) } })
    }

    @Test("requests are logged at debug, and problems as warnings, each once")
    func levels() async throws {
        let (lines, configure) = Self.logged()
        let device = try Device("one", InMemoryGateway(), adjust: configure)
        device.gateway.refuse("users", key(1), reason: "bad_payload")
        device.gateway.write("posts", key(2), PullTests.post(2, of: 9))
        try device.execute("INSERT INTO users VALUES (?, 'secret name', 7)", [key(1)])
        try await device.sync()
        #expect(lines.count("debug request") >= 2)
        #expect(
            lines.all.contains { $0.contains("path=/sync/upload") && $0.contains("status=200") })
        #expect(lines.count("warning a change was rejected") == 1)
        #expect(lines.all.contains { $0.hasSuffix("reason=bad_payload table=users") })
        #expect(lines.count("warning rows are held rows=1") == 1)
        for _ in 0..<2 {
            device.gateway.next(.download, .loseRequest)
            device.gateway.next(.upload, .loseRequest)
            try? await device.sync()
        }
        #expect(lines.count("warning sync failed") == 1)
        try await device.sync()
        #expect(lines.count("info sync works again") == 1)
        #expect(lines.count("warning a change was rejected") == 1)
    }

    @Test("no line has a token, a key or a value")
    func secrets() async throws {
        let (lines, configure) = Self.logged()
        let device = try Device("one", InMemoryGateway(), adjust: configure)
        device.gateway.refuse("users", key(1), reason: "bad_payload")
        try device.execute("INSERT INTO users VALUES (?, 'secret name', 7)", [key(1)])
        try await device.sync()
        let token = InMemoryGateway.token(user: "user", device: "one")
        device.gateway.expire(token)
        try? await device.sync()
        #expect(lines.count("warning sync failed") == 1)
        for line in lines.all {
            for secret in [token, "secret name", key(1)] { #expect(!line.contains(secret)) }
        }
    }
}
