import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import ServiceLifecycle
import Telemetry
import WireJSON

/// One reason for a service to be ready or not.
package struct ReadinessCheck: Sendable {
    package let name: String
    /// Nil when all is well, else what is wrong, in words for an operator.
    package let problem: @Sendable () async -> String?

    package init(_ name: String, problem: @escaping @Sendable () async -> String?) {
        self.name = name
        self.problem = problem
    }
}

/// The operator's side door of a service: `/live`, `/ready` and `/metrics` on plain HTTP, for the host only.
package struct AdminServer: Service {
    private let listener: Listener

    package init(
        host: String, port: Int, metrics: MetricsRegistry, readiness: [ReadinessCheck],
        logger: Logger
    ) {
        let router = Router(context: BasicRequestContext.self)
        router.get("/live") { _, _ in Self.json(.ok, "{\"status\":\"live\"}") }
        router.get("/ready") { _, _ in await Self.ready(readiness) }
        router.get("/metrics") { _, _ in
            Response(
                status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
                body: ResponseBody(byteBuffer: ByteBuffer(string: metrics.rendered())))
        }
        let application = Application(
            router: router,
            configuration: .init(address: .hostname(host, port: port)),
            onServerRunning: { channel in
                let address = channel.localAddress?.port.map(String.init) ?? "?"
                logger.debug("admin listener is up", metadata: ["port": "\(address)"])
            },
            logger: Logger(label: "admin", factory: { _ in SwiftLogNoOpLogHandler() }))
        listener = Listener(
            application, host: (CommonSettings.adminHost, host),
            port: (CommonSettings.adminPort, port))
    }

    /// - Throws: `ConfigurationError` if the address cannot be listened on.
    package func run() async throws { try await listener.run() }

    private static func ready(_ checks: [ReadinessCheck]) async -> Response {
        var problems: [String] = []
        for check in checks {
            if let problem = await check.problem() { problems.append("\(check.name): \(problem)") }
        }
        guard !problems.isEmpty else { return json(.ok, "{\"status\":\"ready\"}") }
        var body: [UInt8] = []
        body.append(contentsOf: Array("{\"status\":\"not ready\",\"problems\":[".utf8))
        for (index, problem) in problems.enumerated() {
            if index > 0 { body.append(UInt8(ascii: ",")) }
            body.append(jsonString: problem)
        }
        body.append(contentsOf: Array("]}".utf8))
        return json(.serviceUnavailable, String(decoding: body, as: UTF8.self))
    }

    private static func json(_ status: HTTPResponse.Status, _ body: String) -> Response {
        Response(
            status: status, headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: body + "\n")))
    }
}
