import HTTPTypes
import Hummingbird
import LogFields
import Logging
import NIOCore
import RPC
import ServiceLifecycle
import Telemetry
import WireJSON

/// The operator's side door of a service: `/live`, `/ready` and `/metrics` on plain HTTP, for the
/// host only.
package struct AdminServer: Service {
    private let listener: Listener

    package init(
        host: String, port: Int, metrics: MetricsRegistry, readiness: Readiness, logger: Logger
    ) {
        let router = Router(context: BasicRequestContext.self)
        router.get("/live") { _, _ in Self.json(.ok, ["status": "live"]) }
        router.get("/ready") { _, _ in Self.ready(readiness.status, readiness.details) }
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
                logger.debug("admin listener is up", metadata: .fields([.port: "\(address)"]))
            },
            logger: Logger(label: "admin", factory: { _ in SwiftLogNoOpLogHandler() }))
        listener = Listener(
            application, host: (CommonSettings.adminHost, host),
            port: (CommonSettings.adminPort, port))
    }

    /// - Throws: `ConfigurationError` if the address cannot be listened on.
    package func run() async throws { try await listener.run() }

    /// 200 while the service can serve, if not everything; else 503.
    static func ready(_ status: ServiceStatus, _ details: [String] = []) -> Response {
        func list(_ lines: [String]) -> JSONDocument? {
            lines.isEmpty ? nil : .array(lines.map { .string($0) })
        }
        return json(
            status.canServe ? .ok : .serviceUnavailable,
            [
                "status": .string(status.state.rawValue),
                "problems": list(status.problems),
                "details": list(details),
            ])
    }

    private static func json(_ status: HTTPResponse.Status, _ document: JSONDocument) -> Response {
        Response(
            status: status, headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: document.text + "\n")))
    }
}
