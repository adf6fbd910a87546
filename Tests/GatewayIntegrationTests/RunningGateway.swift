import AsyncHTTPClient
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import NIOSSL
import RPC
import ServiceKit
import ServiceLifecycle
import Synchronization
import Telemetry
import Testing
import Tokens
import Waiting

@testable import Gateway

/// A gateway with stand-ins for the services behind it, and a client that talks TLS to it.
struct RunningGateway: Sendable {
    static let secret = "a secret that all of these tests share"

    let port: Int
    /// Nil if administrators have no port of their own.
    let adminPort: Int?
    let client: HTTPClient
    let log: CapturedLog
    let group: ServiceGroup
    /// Fires when the gateway has ended.
    let ended: Signal
    let certificate: String
    let routes: [Route]
    let metrics: MetricsRegistry
    fileprivate let drain: Drain
    fileprivate let limits: GatewayLimits

    /// Requests whose answers have not left.
    var requestsInFlight: Int { drain.requestsInFlight }
    /// Bytes of bodies and unread answers that it holds.
    var heldBytes: Int { limits.bytes.inUse }
    /// Long polls that wait.
    var longPolls: Int { limits.longPolls.open }
    /// Open connections.
    var connections: Int { limits.connections.open }
    /// Connections that the gateway has closed without their clients.
    var connectionsCut: Int { drain.connectionsCut }

    /// An answer with its body read.
    struct Answer: Sendable {
        let status: Int
        let headers: HTTPHeaders
        let version: HTTPVersion
        let body: String

        /// A member of the JSON object that the body is.
        func text(_ key: String) -> String? {
            let object = try? JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any]
            return object?[key] as? String
        }
    }

    func send(
        _ method: HTTPMethod, _ path: String, headers: HTTPHeaders = [:],
        body: HTTPClientRequest.Body? = nil,
        client other: HTTPClient? = nil, at otherPort: Int? = nil
    ) async throws -> Answer {
        var request = HTTPClientRequest(url: "https://localhost:\(otherPort ?? port)\(path)")
        request.method = method
        request.headers = headers
        request.body = body
        let response = try await (other ?? client).execute(request, timeout: .seconds(30))
        let bytes = try await response.body.collect(upTo: 32 << 20)
        return Answer(
            status: Int(response.status.code), headers: response.headers, version: response.version,
            body: String(buffer: bytes))
    }

    /// The same with a good token.
    func sendSigned(
        _ method: HTTPMethod, _ path: String, headers: HTTPHeaders = [:],
        body: HTTPClientRequest.Body? = nil, client: HTTPClient? = nil
    ) async throws -> Answer {
        var headers = headers
        if !headers.contains(name: "Authorization") {
            headers.add(name: "Authorization", value: "Bearer \(try await Self.token())")
        }
        return try await send(method, path, headers: headers, body: body, client: client)
    }

    /// How often a limit has refused or ended something for this reason.
    func refusals(_ reason: String) -> Int {
        counted("oversync_gateway_refused_total{reason=\"\(reason)\"}")
    }

    /// The value of a counter.
    ///
    /// - Parameter name: with its labels.
    func counted(_ name: String) -> Int {
        let line = name + " "
        let count = metrics.rendered().split(separator: "\n").first { $0.hasPrefix(line) }
        return count.flatMap { Int($0.dropFirst(line.count)) } ?? 0
    }

    /// Waits until new requests are refused, as the gateway goes down.
    func refusesRequests() async throws {
        try await eventually {
            // A client may give up what it is about to send on a connection that hears its goodbye.
            let answer = try? await send(.GET, "/sync/schema-version")
            return answer?.text("error") == "draining"
        }
    }

    static func token(
        user: String = "user-1", device: String = "device-1", roles: [String] = [],
        lifetime: Int = 600
    ) async throws -> String {
        try await TokenMint(hs256: secret).sign(
            DeviceClaims(
                user: user, device: device, roles: roles, issuer: nil, audience: nil,
                now: Int(Date().timeIntervalSince1970), lifetime: lifetime))
    }

    static func configuration(
        _ certificate: String, httpVersion: HTTPClient.Configuration.HTTPVersion = .automatic
    ) throws -> HTTPClient.Configuration {
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.trustRoots = .file(certificate)
        var configuration = HTTPClient.Configuration(tlsConfiguration: tls)
        configuration.httpVersion = httpVersion
        return configuration
    }

    /// Runs `body` with a client of its own, which shares no connection with others.
    func withClient(isHTTP2: Bool, _ body: (HTTPClient) async throws -> Void) async throws {
        let client = HTTPClient(
            eventLoopGroupProvider: .singleton,
            configuration: try Self.configuration(
                certificate, httpVersion: isHTTP2 ? .automatic : .http1Only))
        do {
            try await body(client)
        } catch {
            try? await client.shutdown()
            throw error
        }
        try await client.shutdown()
    }
}

/// Runs a gateway for `body`.
///
/// - Parameters:
///   - environment: settings in addition to those that every test needs.
///   - upstreams: the services that answer, by name. Calls to others find nobody.
func withGateway(
    _ environment: [String: String] = [:], upstreams: [String: RPCRouter] = [:],
    _ body: @Sendable (RunningGateway) async throws -> Void
) async throws {
    let directory = "/tmp/oversync-gw-\(UInt32.random(in: 0 ... .max))"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let certificate = try TestCertificate(in: directory)
    let log = CapturedLog()
    let logger = Logger(label: "gateway") { _ in
        JSONLogHandler(service: "oversync-gateway", level: .debug, output: log)
    }
    let settings = try GatewaySettings(
        Configuration(
            environment: [
                "OVERSYNC_GATEWAY_PORT": "0", "OVERSYNC_TLS_CERTIFICATE": certificate.certificate,
                "OVERSYNC_TLS_KEY": certificate.key,
                "OVERSYNC_JWT_HS256_SECRET": RunningGateway.secret,
            ].merging(environment) { $1 }))
    let metrics = MetricsRegistry()
    let (ports, port) = AsyncStream<Int>.makeStream()
    let (adminPorts, adminPort) = AsyncStream<Int>.makeStream()
    let gateway = try await GatewayService.services(
        settings, sockets: directory, metrics: metrics, logger: logger,
        listening: { port.yield($0) }, adminListening: { adminPort.yield($0) })
    let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let servers = upstreams.map { name, router in
        RPCServer(directory: "\(directory)/\(name)", replica: "1", router: router, logger: quiet)
    }
    let group = ServiceGroup(
        configuration: ServiceGroupConfiguration(
            services: (servers + gateway.run).map { .init(service: $0) }, logger: quiet))
    let ended = Signal()
    async let running: Void = {
        defer { ended.fire() }
        try await group.run()
    }()
    let client = HTTPClient(
        eventLoopGroupProvider: .singleton,
        configuration: try RunningGateway.configuration(certificate.certificate))
    do {
        let listening = try #require(await ports.first { _ in true })
        let adminListening =
            settings.adminDoor.port == nil ? nil : await adminPorts.first { _ in true }
        try await body(
            RunningGateway(
                port: listening, adminPort: adminListening, client: client, log: log, group: group,
                ended: ended,
                certificate: certificate.certificate, routes: gateway.routes, metrics: metrics,
                drain: gateway.drain, limits: gateway.limits))
    } catch {
        try? await client.shutdown()
        await group.triggerGracefulShutdown()
        try? await running
        throw error
    }
    try await client.shutdown()
    await group.triggerGracefulShutdown()
    try await running
}

/// The lines that a process has logged.
final class CapturedLog: LogOutput, Sendable {
    private let lines = Mutex<[String]>([])

    func write(_ line: [UInt8], at level: Logger.Level) {
        lines.withLock { $0.append(String(decoding: line, as: UTF8.self)) }
    }

    var all: [String] { lines.withLock { $0 } }
}

/// Polls a condition that has no event, with a deadline.
func eventually(
    within time: Duration = .seconds(10), _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + time
    while !(try await condition()) {
        try #require(ContinuousClock.now < deadline, "the condition did not come true in time")
        // Between looks only; what passes is the condition, not the time.
        try await Task.sleep(for: .milliseconds(10))
    }
}

/// Something that happens once and that a test waits for.
final class Signal: Sendable {
    private let stream: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    init() {
        (stream, continuation) = AsyncStream.makeStream()
    }

    func fire() {
        continuation.finish()
    }

    /// Returns when it has fired or the task is cancelled.
    func wait() async {
        for await _ in stream {}
    }
}
