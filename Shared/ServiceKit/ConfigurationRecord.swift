import LogFields
import Logging
import Protos
import RPC
import ServiceLifecycle
import Telemetry
import Waiting
import WireJSON

/// Has the settings recorded that a service starts with, so that the audit shows each change.
///
/// A service runs without it: whoever keeps the record may come up later.
package struct ConfigurationRecord: Service {
    /// Longest time of one attempt.
    private static let attemptTime: Duration = .seconds(10)
    /// Longest text of one setting, in bytes; of a longer one the beginning.
    private static let maximumTextBytes = 200
    /// What differs between the replicas of one service.
    private static let ofReplica: Set = [
        CommonSettings.replica.key, CommonSettings.adminPort.key, ParentWatch.setting.key,
        "OVERSYNC_GATEWAY_ADMIN_PORT", "OVERSYNC_GATEWAY_PORT",
    ]

    /// Records them: the machine's name, and a JSON object of texts.
    package typealias Recording =
        @Sendable (
            _ host: String, _ settings: String, _ deadline: ContinuousClock.Instant
        ) async throws -> Void

    private let process: ServiceProcess
    private let record: Recording

    package init(_ process: ServiceProcess, record: @escaping Recording) {
        self.process = process
        self.record = record
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown { await self.recordUntilDone() }
        // A service that returns ends the others.
        try? await gracefulShutdown()
    }

    private func recordUntilDone() async {
        let settings = Self.settings(of: process.program, in: process.configuration)
        var backoff = Backoff(first: .seconds(1), longest: .seconds(60))
        while !Task.isCancelled {
            do {
                return try await record(
                    ReplicaName.ofThisHost, settings, .now + Self.attemptTime)
            } catch {
                process.logger.debug(
                    "the settings could not be recorded yet",
                    metadata: .fields([.error: "\(error)"]))
            }
            try? await Task.sleep(for: backoff.fail(jitter: .random(in: 0...1)))
        }
    }

    /// The version, and what is configured besides defaults and secrets.
    static func settings(of program: ServiceProgram, in configuration: Configuration) -> String {
        var members: [(name: String, value: JSONDocument?)] = [
            ("version", .string(BuildInfo.version))
        ]
        for setting in program.allSettings where !ofReplica.contains(setting.key) {
            guard let text = configuration.shownText(of: setting) else { continue }
            members.append((setting.key, .string(shortened(text))))
        }
        return JSONDocument.object(members).text
    }

    /// Without the character NUL, which PostgreSQL's JSON does not take. A text that is cut ends
    /// with its hash, so that another one is told from it.
    private static func shortened(_ text: String) -> String {
        let text = text.replacing("\0", with: "")
        guard text.utf8.count > maximumTextBytes else { return text }
        var bytes = 0
        let kept = text.unicodeScalars.prefix {
            bytes += Unicode.UTF8.width($0)
            return bytes <= maximumTextBytes
        }
        return "\(String(kept))… (\(text.utf8.count) bytes, hash \(shortHash(text)))"
    }
}

extension ConfigurationRecord {
    /// Has Upload record them, for a service that writes nothing itself.
    package init(_ process: ServiceProcess, by upload: RPCClient) {
        self.init(process) { host, settings, deadline in
            var request = RecordSettingsRequest()
            request.service = process.name
            request.host = host
            request.settings = settings
            let context = CallContext(requestID: "configuration", deadline: deadline)
            _ = try await upload.call(UploadRPC.recordSettings, request, context: context)
        }
    }
}
