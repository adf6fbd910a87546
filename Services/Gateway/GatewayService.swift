import Foundation
import Hummingbird
import HummingbirdCore
import HummingbirdHTTP2
import Logging
import NIOCore
import NIOSSL
import RPC
import ServiceKit
import ServiceLifecycle
import Telemetry

/// The gateway: ends TLS, checks tokens, applies limits and forwards to the services. It links no database
/// driver and holds no database password.
package enum GatewayService {
    /// Longest silence on a connection without a request.
    private static let idleTimeout: Duration = .seconds(180)
    /// Time for requests in flight to end once the gateway shuts down; less than the process has for all.
    private static let drainTimeout: Duration = .seconds(20)

    /// A request's calls go by a connection of the event loop that the request came by, on machines of up to
    /// so many processors.
    private static let connectionsPerReplica = 16

    /// Runs the service until a signal ends it.
    package static func run() async throws {
        try await ServiceProcess.run("oversync-gateway") { process in
            let parts = try await services(
                try GatewaySettings(process.configuration),
                sockets: try process.configuration.value(CommonSettings.runDirectory),
                metrics: process.metrics, logger: process.logger)
            return (parts.run, parts.ready)
        }
    }

    /// What a gateway is made of.
    package struct Parts {
        /// Everything that runs, in starting order.
        package let run: [any Service]
        package let ready: [ReadinessCheck]
        /// What it answers.
        let routes: [Route]
    }

    /// Makes a gateway.
    ///
    /// - Parameters:
    ///   - sockets: the directory with one subdirectory of sockets for each service.
    ///   - listening: is told the port once connections are accepted.
    package static func services(
        _ settings: GatewaySettings, sockets: String, metrics: MetricsRegistry, logger: Logger,
        listening: @escaping @Sendable (Int) -> Void = { _ in }
    ) async throws -> Parts {
        let observer = RPCMetrics(metrics, service: "oversync-gateway")
        var rpcLimits = RPCLimits()
        rpcLimits.connectionsPerReplica = connectionsPerReplica
        func client(_ service: String) -> RPCClient {
            RPCClient(
                directory: sockets + "/" + service, service: service, limits: rpcLimits,
                logger: logger, observer: observer)
        }
        let (auth, upload, download) = (client("auth"), client("upload"), client("download"))
        let cache = TokenCache()
        let keys = await KeySource(
            auth: auth, hs256Secret: settings.hs256Secret, cache: cache, logger: logger)
        let health = HealthRoutes(upstreams: [
            ("auth", auth), ("upload", upload), ("download", download),
        ])
        let watchers = Watchers(limit: settings.maximumWatchers)
        metrics.gauge("oversync_gateway_watchers", "Devices that watch") {
            [(.none, Double(watchers.open))]
        }
        let tokens = AuthRoutes(
            auth: auth, keys: keys, allowsDevelopmentSignIn: settings.allowsDevelopmentSignIn)
        let limits = RateLimits(
            requestsPerSecond: settings.requestsPerSecond, bytesPerSecond: settings.bytesPerSecond)
        let routes =
            health.routes + tokens.routes
            + routes(settings, upload: upload, download: download, watchers: watchers, limits)
        let responder = GatewayResponder(
            routes: RouteTable(routes),
            verifier: TokenVerifier(
                keys: keys, cache: cache, issuer: settings.issuer, audience: settings.audience,
                skewSeconds: settings.skewSeconds, now: { Date().timeIntervalSince1970 }),
            limits: limits, adminRole: settings.adminRole, timeout: settings.requestTimeout,
            metrics: GatewayMetrics(metrics), logger: logger)
        let server = Listener(
            try application(responder, settings, logger, listening),
            host: (GatewaySettings.hostSetting, settings.host),
            port: (GatewaySettings.portSetting, settings.port))
        let ready = ReadinessCheck("upstreams") {
            health.missing.isEmpty
                ? nil : "no live replica of " + health.missing.joined(separator: ", ")
        }
        return Parts(
            run: [auth, upload, download, keys, server, watchers], ready: [ready], routes: routes)
    }

    /// What devices and administrators ask for.
    private static func routes(
        _ settings: GatewaySettings, upload: RPCClient, download: RPCClient, watchers: Watchers,
        _ limits: RateLimits
    ) -> [Route] {
        let sync = SyncRoutes(
            upload: upload, download: download,
            bodies: BodyReader(maximumBytes: settings.maximumBodyBytes, limits: limits),
            maximumPageRows: settings.maximumPageRows)
        let devices = DeviceRoutes(
            upload: upload, download: download, maximumBodyBytes: settings.maximumBodyBytes,
            maximumPageRows: settings.maximumPageRows)
        let watch = WatchRoute(download: download, watchers: watchers)
        return sync.routes + devices.routes + watch.routes + AdminRoutes(upload: upload).routes
            + DocumentRoutes().routes
    }

    private static func application(
        _ responder: GatewayResponder, _ settings: GatewaySettings, _ logger: Logger,
        _ listening: @escaping @Sendable (Int) -> Void
    ) throws -> Application<GatewayResponder> {
        let tls = try NIOSSLContext(configuration: tls(settings))
        let date = HTTPDate()
        return Application(
            responder: responder,
            server: HTTPServerBuilder { http2Responder in
                TLSChannel(
                    tls: tls,
                    http2: HTTP2Channel(
                        responder: http2Responder,
                        configuration: .init(
                            idleTimeout: idleTimeout, gracefulCloseTimeout: drainTimeout,
                            streamConfiguration: .init(
                                idleTimeout: .seconds(idleTimeout.components.seconds)))),
                    idleTimeout: idleTimeout, drainTimeout: drainTimeout
                ) { request in
                    var response = await responder.answer(request)
                    response.headers[.date] = date.text()
                    return response
                }
            },
            configuration: .init(
                address: .hostname(settings.host, port: settings.port), serverName: nil),
            onServerRunning: { channel in
                logger.info(
                    "listening",
                    metadata: ["address": "\(channel.localAddress?.description ?? settings.host)"])
                listening(channel.localAddress?.port ?? settings.port)
            },
            logger: quiet(logger))
    }

    private static func tls(_ settings: GatewaySettings) throws(ConfigurationError)
        -> TLSConfiguration
    {
        let chain: [NIOSSLCertificateSource]
        do {
            chain = try NIOSSLCertificate.fromPEMFile(settings.certificate).map { .certificate($0) }
        } catch {
            throw ConfigurationError(
                key: GatewaySettings.certificateSetting.key,
                reason:
                    "names \(settings.certificate), which is no PEM certificate that can be read")
        }
        let key: NIOSSLPrivateKey
        do {
            key = try NIOSSLPrivateKey(file: settings.key, format: .pem)
        } catch {
            throw ConfigurationError(
                key: GatewaySettings.keySetting.key,
                reason: "names \(settings.key), which is no PEM private key that can be read")
        }
        var tls = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain, privateKey: .privateKey(key))
        tls.minimumTLSVersion = .tlsv12
        tls.applicationProtocols = ["h2", "http/1.1"]
        return tls
    }

    /// The server's own chatter about each request is ours to write.
    private static func quiet(_ logger: Logger) -> Logger {
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .warning)
        return quiet
    }
}
