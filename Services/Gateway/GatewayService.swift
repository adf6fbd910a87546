import Foundation
import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore
import OTLP
import RPC
import ServiceKit
import ServiceLifecycle
import Telemetry

/// The gateway: ends TLS, checks tokens, applies limits and forwards to the services. It links no database
/// driver and holds no database password.
package enum GatewayService {
    /// A request's calls go by a connection of the event loop that the request came by, on machines of up to
    /// this many processors.
    private static let connectionsPerReplica = 16

    package static let program = ServiceProgram(
        name: "oversync-gateway",
        purpose: "ends TLS, checks tokens, applies limits and forwards to the other services",
        settings: GatewaySettings.all, socketFolder: nil,
        suspicions: suspicions, check: GatewaySettings.problems)

    /// What the gateway can run with, and an operator should know of.
    @Sendable private static func suspicions(_ configuration: Configuration) -> [String] {
        let tokens = TokenCheckSettings.suspicions(configuration)
        guard let limits = try? LimitSettings(configuration) else { return tokens }
        let hasWatchers = configuration.isSet(LimitSettings.watcherSetting.key)
        let files = ConnectionRoom.warnings(
            connections: limits.connections,
            watchers: hasWatchers ? limits.watchers.total : nil, files: OpenFiles.limit)
        guard let body = try? configuration.value(GatewaySettings.bodySetting) else {
            return tokens + files
        }
        return tokens + files
            + HeldBytes.warnings(
                body: body, share: limits.userBufferBytes, total: limits.bufferBytes)
            + AdminDoor.warnings(configuration)
    }

    /// Does what the program's arguments say; without any, runs the service until a signal ends it.
    package static func run() async {
        await ServiceProcess.run(program, exporters: TelemetryExport.start) { process in
            let parts = try await services(
                try GatewaySettings(process.configuration),
                sockets: try process.configuration.value(CommonSettings.runDirectory),
                metrics: process.metrics, logger: process.logger)
            process.reloadables.add(parts.reloadables)
            return (parts.run + [ConfigurationRecord(process, by: parts.upload)], parts.ready)
        }
    }

    /// What a gateway is made of.
    package struct Parts {
        /// Everything that runs, in starting order.
        package let run: [any Service]
        package let ready: [ReadinessCheck]
        /// What it answers.
        let routes: [Route]
        /// What it reads again while it runs.
        package let reloadables: [Reloadable]
        let drain: Drain
        let limits: GatewayLimits
        let upload: RPCClient
    }

    /// Makes a gateway.
    ///
    /// - Parameters:
    ///   - sockets: the directory with one subdirectory of sockets for each service.
    ///   - listening: receives the port once connections are accepted.
    ///   - adminListening: the same of the administrators' port.
    package static func services(
        _ settings: GatewaySettings, sockets: String, metrics: MetricsRegistry, logger: Logger,
        listening: @escaping @Sendable (Int) -> Void = { _ in },
        adminListening: @escaping @Sendable (Int) -> Void = { _ in }
    ) async throws -> Parts {
        let observer = RPCMetrics(metrics)
        var rpcLimits = RPCLimits()
        rpcLimits.connectionsPerReplica = connectionsPerReplica
        func client(_ service: String) -> RPCClient {
            rpcLimits.peers = settings.serviceUsers.peers(of: service)
            return RPCClient(
                directory: sockets + "/" + service, service: service, limits: rpcLimits,
                hello: BuildInfo.hello, logger: logger, observer: observer)
        }
        let (auth, upload, download) = (client("auth"), client("upload"), client("download"))
        // A request in flight has until its deadline, within what the process has.
        let longest = min(
            settings.requestTimeout + DrainMachine.waitingTime, ServiceProcess.drainTimeout)
        let (drain, adminDrain) = (Drain(longest: longest), Drain(longest: longest))
        metrics.value("oversync_gateway_requests_in_flight", "Requests not answered yet") {
            Double(drain.requestsInFlight + adminDrain.requestsInFlight)
        }
        let health = HealthRoutes(
            upstreams: [("auth", auth), ("upload", upload), ("download", download)], drain: drain)
        let limits = GatewayLimits(settings.limits, files: OpenFiles.limit, metrics)
        let reports = DeviceReports(upload: upload, metrics: metrics)
        let tokens = await TokenParts(
            settings, auth: auth, rejections: limits.rejections,
            whenRejected: { reports.take($0, rejectedFor: $1) }, metrics, logger)
        let signIn = AuthRoutes(
            auth: auth, keys: tokens.keys, work: limits.work,
            allowsDevelopmentSignIn: settings.allowsDevelopmentSignIn)
        let gatewayMetrics = GatewayMetrics(metrics)
        let clients = TokenRoute(auth: auth, work: limits.work, rejections: limits.rejections)
        let tail = TailRoute(gateway: settings.name, upload: upload)
        let views = AdminViewRoutes(
            upstreams: health.upstreams, upload: upload, auth: auth, metrics: metrics)
        let adminRoutes =
            AdminRoutes(upload: upload, work: limits.work).routes + views.routes + tail.routes
            + AdminDeviceRoutes(upload: upload, work: limits.work).routes
        let routes =
            health.routes + signIn.routes + clients.routes
            + routes(settings, upload: upload, download: download, limits, gatewayMetrics)
            + (settings.adminDoor.isPublic ? adminRoutes : [])
        let refused = RefusedAdministrators(upload: upload, logger: logger)
        let responder = GatewayResponder(
            routes: RouteTable(routes),
            verifier: tokens.verifier, devices: HeaderDevices(upload: upload), limits: limits,
            adminRole: settings.adminRole, refusedAdministrators: refused, reports: reports,
            timeout: settings.requestTimeout,
            strictTransportSeconds: settings.strictTransportSeconds, metrics: gatewayMetrics,
            recent: tail.recent, idlePolls: settings.idlePolls, logger: logger)
        let identity = try TLSIdentity(settings.tls)
        identity.report(to: metrics)
        let parts = ListenerParts(
            settings: settings, identity: identity, limits: limits, logger: logger)
        let doors =
            [parts.devices(responder, drain, listening)]
            + parts.administrators(
                responder.serving(health.routes + adminRoutes + ConsoleRoutes().routes), adminDrain,
                adminListening)
        let ready = ReadinessCheck("services", probe: { health.problems })
        let draining = ReadinessCheck("drain") { drain.isDraining ? "the gateway goes down" : nil }
        return Parts(
            run: [auth, upload, download] + tokens.services + [refused, reports] + doors
                + [limits.watchers],
            ready: [ready, draining], routes: routes,
            reloadables: [reloadable(identity, settings.tls)] + tokens.reloadables, drain: drain,
            limits: limits, upload: upload)
    }

    private static func reloadable(_ identity: TLSIdentity, _ files: TLSIdentity.Files)
        -> Reloadable
    {
        Reloadable("TLS certificate", files: files.all) {
            () throws(ConfigurationError) in try identity.reload()
        }
    }

    /// What devices ask for.
    private static func routes(
        _ settings: GatewaySettings, upload: RPCClient, download: RPCClient,
        _ limits: GatewayLimits, _ metrics: GatewayMetrics
    ) -> [Route] {
        let bodies = BodyReader(
            maximumBytes: settings.maximumBodyBytes, work: limits.work, limits: limits.rates,
            advice: "send fewer changes at once")
        let sync = SyncRoutes(
            upload: upload, download: download, bodies: bodies, work: limits.work,
            longPolls: limits.longPolls, maximumPageRows: settings.maximumPageRows)
        let devices = DeviceRoutes(
            upload: upload, download: download, maximumBodyBytes: settings.maximumBodyBytes,
            maximumPageRows: settings.maximumPageRows, metrics: metrics)
        let watch = WatchRoute(download: download, watchers: limits.watchers)
        let digests = DigestRoutes(download: download, bodies: bodies, work: limits.work)
        return sync.routes + digests.routes + devices.routes + watch.routes
            + DocumentRoutes().routes
    }
}
