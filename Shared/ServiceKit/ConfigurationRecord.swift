import LogFields
import Logging
import Protos
import RPC
import ServiceLifecycle
import Telemetry
import Waiting
import WireJSON

/// Records the settings that a service starts with, so that the audit shows each change, and those
/// reloadable files that it is given.
///
/// A service runs without it: the keeper of the record may start later.
package struct ConfigurationRecord: Service {
    /// Longest time of one attempt.
    private static let attemptTime: Duration = .seconds(10)
    /// Longest text of one setting, in bytes. Longer texts are cut.
    private static let maximumTextBytes = 200
    /// Settings that differ between the replicas of one service.
    private static let ofReplica: Set = [
        CommonSettings.replica.key, CommonSettings.adminPort.key, ParentWatch.setting.key,
        "OVERSYNC_GATEWAY_ADMIN_PORT", "OVERSYNC_GATEWAY_PORT",
    ]

    /// Records them: the machine's name, and a JSON object of texts.
    package typealias Recording =
        @Sendable (
            _ host: String, _ settings: String, _ deadline: ContinuousClock.Instant
        ) async throws -> Void

    /// What a service shows of its secrets: names, and texts that reveal a change and nothing else.
    package struct Shown: Sendable {
        let members: @Sendable () -> [(name: String, text: String)]
        /// One for each time that the members may have changed.
        let changes: AsyncStream<Void>

        package init(
            changes: AsyncStream<Void>,
            _ members: @escaping @Sendable () -> [(name: String, text: String)]
        ) {
            self.changes = changes
            self.members = members
        }
    }

    private let process: ServiceProcess
    private let shown: Shown?
    private let record: Recording

    package init(
        _ process: ServiceProcess, showing shown: Shown? = nil, record: @escaping Recording
    ) {
        self.process = process
        self.shown = shown
        self.record = record
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            await self.recordUntilDone()
            guard let changes = self.shown?.changes else { return }
            for await _ in changes { await self.recordUntilDone() }
        }
        // A service that returns ends the others.
        try? await gracefulShutdown()
    }

    private func recordUntilDone() async {
        let settings = Self.settings(
            of: process.program, in: process.configuration, and: shown?.members() ?? [])
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

    /// The version, and what is configured apart from defaults and secrets.
    ///
    /// - Parameter shown: further members.
    static func settings(
        of program: ServiceProgram, in configuration: Configuration,
        and shown: [(name: String, text: String)] = []
    ) -> String {
        var members: [(name: String, value: JSONDocument?)] = [
            ("version", .string(BuildInfo.version))
        ]
        for setting in program.allSettings where !ofReplica.contains(setting.key) {
            guard let text = configuration.shownText(of: setting) else { continue }
            members.append((setting.key, .string(shortened(text))))
        }
        for (name, text) in shown { members.append((name, .string(shortened(text)))) }
        return JSONDocument.object(members).text
    }

    /// Without the character NUL, which PostgreSQL's JSON does not take. A text that is cut ends
    /// with its hash, so that a new secret can be distinguished from it.
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
