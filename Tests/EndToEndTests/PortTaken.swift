import Demo
import DevStack
import Foundation
import Logging
import NIOCore
import NIOPosix
import OperatorKit
import Testing

@Suite("A port that another process listens on", .timeLimit(.minutes(5)))
struct PortTaken {
    /// `EX_CONFIG`: a supervisor does not try again.
    private static let wrongConfiguration: Int32 = 78

    @Test("A service ends with one line: the address, and the setting to change")
    func service() async throws {
        try await Self.withListener { port, folder in
            let certificates = try DevelopmentCertificates(in: folder)
            let common = [
                "OVERSYNC_RUN": folder + "/run",
                "OVERSYNC_DATABASE_URL": "postgresql:///nowhere?host=\(folder)",
                "OVERSYNC_TLS_CERTIFICATE": certificates.certificate,
                "OVERSYNC_TLS_KEY": certificates.key,
            ]
            let cases = [
                ("oversync-gateway", "OVERSYNC_GATEWAY_PORT", ["OVERSYNC_ADMIN_PORT": "0"]),
                ("oversync-gateway", "OVERSYNC_ADMIN_PORT", ["OVERSYNC_GATEWAY_PORT": "0"]),
                ("oversync-download", "OVERSYNC_ADMIN_PORT", [:]),
            ]
            for (name, setting, more) in cases {
                var environment = common.merging(more) { _, new in new }
                environment[setting] = "\(port)"
                let (status, lines) = try await Self.run(name, environment)
                #expect(status == Self.wrongConfiguration)
                let last = lines.filter { $0.contains(#""level":"critical""#) }
                #expect(last.count == 1)
                #expect(
                    last.first?.contains(
                        "wrong configuration: \(setting) cannot be \(port): another process "
                            + "listens on 127.0.0.1:\(port); end it, or choose another port")
                        == true, "\(lines)")
            }
        }
    }

    @Test("A stack does not begin, and says what to do")
    func stack() async throws {
        try await Self.withListener { port, folder in
            var plan = Stack.Plan(
                directory: StackDirectory(folder), registrations: DemoTables.registrations,
                businessSchema: DemoTables.businessSchema)
            plan.port = port
            let error = await #expect(throws: StackError.self) {
                _ = try await Stack(plan, logger: Logger(label: "port"))
            }
            let text = try #require(error?.description)
            #expect(text.contains("127.0.0.1:\(port): Address already in use"))
            #expect(text.contains("--port"))
            #expect(!FileManager.default.fileExists(atPath: plan.directory.postgres))
        }
    }

    @Test("A stack whose port is taken while it begins ends with the service's own line")
    func supervised() async throws {
        try await Self.withListener { port, folder in
            let certificates = try DevelopmentCertificates(in: folder)
            let path = folder + "/log"
            let older = #"{"level":"critical","service":"oversync-auth","message":"older"}"#
            try Data("\(older)\n".utf8).write(to: URL(filePath: path))
            let log = try FileHandle(forWritingTo: URL(filePath: path))
            try log.seekToEnd()
            let gateway = SupervisedProcess(
                name: "gateway", executable: try Executables.find("oversync-gateway"),
                environment: [
                    "OVERSYNC_RUN": folder + "/run", "OVERSYNC_ADMIN_PORT": "0",
                    "OVERSYNC_TLS_CERTIFICATE": certificates.certificate,
                    "OVERSYNC_TLS_KEY": certificates.key, "OVERSYNC_GATEWAY_PORT": "\(port)",
                ], log: log, logPath: path, logger: Logger(label: "port"))
            let error = await #expect(throws: StackError.self) { try await gateway.run() }
            #expect(
                error?.description
                    == "oversync-gateway: wrong configuration: OVERSYNC_GATEWAY_PORT cannot be "
                    + "\(port): another process listens on 127.0.0.1:\(port); end it, or choose "
                    + "another port")
        }
    }

    @Test("The port of a stack is none that the system gives to connections")
    func lasting() throws {
        for _ in 0..<50 {
            let port = try FreePort.find()
            #expect(port >= 1024)
            #expect(port < FreePort.firstGivenOut())
        }
    }

    /// Lends a port that is listened on, and a folder.
    private static func withListener(
        _ body: (_ port: Int, _ folder: String) async throws -> Void
    ) async throws {
        let folder =
            FileManager.default.temporaryDirectory.path + "/oversync-port-"
            + UUID().uuidString.prefix(8)
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let listener = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .bind(host: "127.0.0.1", port: 0).get()
        do {
            try await body(try #require(listener.localAddress?.port), folder)
        } catch {
            try await listener.close()
            throw error
        }
        try await listener.close()
    }

    /// Runs a service to its end.
    ///
    /// - Returns: its status, and the lines that it wrote.
    static func run(
        _ name: String, _ environment: [String: String]
    ) async throws -> (Int32, [String]) {
        let (status, text) = try await runProgram(name, environment: environment)
        return (status, text.split(separator: "\n").map(String.init))
    }
}
