import Foundation
import HTTPTypes
import Hummingbird
import LogFields
import Logging
import RPC
import Telemetry
import Traces

/// Takes every request through the same stages: scope, route, identity, answer; then headers, metrics and
/// one log line.
struct GatewayResponder: Sendable {
    /// The protocol's version, on every answer.
    private static let apiVersion = "1"
    /// What the paths of administrators begin with.
    private static let administration = "/admin/"

    private(set) var routes: RouteTable
    let verifier: TokenVerifier
    let devices: HeaderDevices
    let limits: GatewayLimits
    /// The role that opens what is for administrators.
    let adminRole: String
    /// Has those recorded who lack it.
    let refusedAdministrators: RefusedAdministrators
    let reports: DeviceReports
    let timeout: Duration
    /// How long browsers come back with TLS alone.
    let strictTransportSeconds: Int
    let metrics: GatewayMetrics
    /// What administrators see of the last requests.
    let recent: RecentRequests
    /// Which of the downloads without news are logged.
    let idlePolls: LogSample
    let logger: Logger

    /// The same for other routes.
    func serving(_ routes: [Route]) -> GatewayResponder {
        var responder = self
        responder.routes = RouteTable(routes)
        return responder
    }

    /// - Parameter admission: nil when the gateway goes down: only probes are answered.
    func answer(
        _ request: Request, from peer: Peer, _ admission: Drain.Admission?
    ) async -> Response {
        let start = ContinuousClock.now
        let route = Result { () throws(WireError) in
            try routes.route(request.method, request.uri.path)
        }
        var scope = RequestScope(request, timeout: timeout, admission)
        guard let span = scope.beginSpan(of: request.method, try? route.get()) else {
            return await answer(request, from: peer, on: route, scope, since: start)
        }
        let response = await span.run {
            await answer(request, from: peer, on: route, scope, since: start)
        }
        span.end(with: response.status)
        return response
    }

    private func answer(
        _ request: Request, from peer: Peer, on route: Result<Route, WireError>,
        _ scope: RequestScope, since start: ContinuousClock.Instant
    ) async -> Response {
        var scope = scope
        var response: Response
        var path = "other"
        var code = ""
        do {
            if let authority = request.head.authority, !Authority.isWellFormed(authority) {
                throw WireError.invalid(
                    "The Host header must be one host name or address, with a port or without")
            }
            let route = try route.get()
            path = route.path
            guard scope.admission != nil || route.isProbe else { throw WireError.draining }
            if route.knowsAddress {
                scope.address = peer.address
                scope.certificate = peer.certificate
            }
            if route.access != .open {
                let verified = try await verifier.caller(
                    authorization: request.headers[.authorization], from: peer.address)
                scope.verified = verified
                let user = verified.identity.userID
                peer.prove(user)
                try await limits.enter(user)
                scope.hold(HeldBytes(limits.bytes, of: user))
                if verified.namesDeviceByHeader {
                    let device = try HeaderDevices.name(in: request.headers)
                    scope.verified = verified.on(device: device)
                    try await devices.bind(scope.context())
                }
                if route.access == .administrators {
                    try admit(verified.identity, to: route, scope)
                } else {
                    reports.take(request, route, scope)
                }
            }
            response = try await route.answer(request, scope)
        } catch {
            let wire = Self.wireError(error)
            limits.refusals.count(wire)
            metrics.count(wire)
            code = wire.code
            if wire.status == .internalServerError {
                logger.error(
                    "request failed",
                    metadata: .fields([.requestID: .string(scope.requestID), .error: "\(error)"]))
            }
            response = wire.response(requestID: scope.requestID)
        }
        if request.method == .head { response.body = ResponseBody() }
        response.headers[.apiVersion] = Self.apiVersion
        response.headers[.requestID] = scope.requestID
        protect(&response)
        account(for: response, scope)
        metrics.count(
            request.method, path, response.status, after: .now - start - scope.waited.time)
        let duration = ContinuousClock.now - start
        log(request, path, response, scope, duration)
        let isProbe = (try? route.get())?.isProbe ?? false
        // Administrators look for what devices do. What they do themselves is in the audit.
        if !isProbe, !request.uri.path.hasPrefix(Self.administration) {
            remember(request, path, response, code, scope, duration)
        }
        return response
    }

    /// Answers hold a user's rows: nobody keeps them on the way, and no browser takes them for
    /// something else or comes back without TLS, which is all that the gateway speaks.
    private func protect(_ response: inout Response) {
        response.headers[.cacheControl] = "no-store"
        response.headers[.xContentTypeOptions] = "nosniff"
        response.headers[.strictTransportSecurity] = "max-age=\(strictTransportSeconds)"
    }

    /// Holds the answer, and charges it. What came was charged as it was read.
    private func account(for response: Response, _ scope: RequestScope) {
        let bytes = response.body.contentLength ?? 0
        // In place of the body, and of a page before it was compressed.
        scope.held?.holdAnyway(bytes)
        guard let caller = scope.caller else { return }
        // A page costs what was read and compressed of it, though its client gets less, or nothing.
        let read = scope.held?.answeredBytes ?? 0
        // A request that was refused before that used nothing.
        guard response.status != .tooManyRequests || read > 0 else { return }
        limits.rates.charge(caller.userID, bytes: max(bytes, read))
    }

    private func admit(
        _ caller: CallerIdentity, to route: Route, _ scope: RequestScope
    ) throws(WireError) {
        guard caller.roles.contains(adminRole) else {
            let error = WireError(
                status: .forbidden, code: "forbidden",
                message: "This needs a token with the role \(adminRole)")
            refusedAdministrators.record(route, error.code, scope.context())
            throw error
        }
    }

    private static func wireError(_ error: any Error) -> WireError {
        switch error {
        case let error as WireError: error
        case let error as RPCFailure: WireError(error)
        case let error as HTTPError where error.status == .contentTooLarge:
            WireError(
                status: .contentTooLarge, code: "payload_too_large",
                message: "The body is too large")
        case is CancellationError: .timedOut
        default: .internalError
        }
    }

    private func remember(
        _ request: Request, _ path: String, _ response: Response, _ code: String,
        _ scope: RequestScope, _ duration: Duration
    ) {
        var line = RecentRequests.Line()
        line.at = Date().timeIntervalSince1970
        line.user = scope.caller?.userID
        line.device = scope.caller?.deviceID
        line.method = GatewayMetrics.name(of: request.method)
        line.path = path
        line.status = response.status.code
        line.code = code
        // The service rounds the wait, so it may be longer than the request.
        line.duration = max(.zero, duration - scope.waited.time)
        line.isIdle = scope.waited.isIdle
        line.bytesIn = request.headers[.contentLength].flatMap { Int($0) }
        line.bytesOut = response.body.contentLength
        line.requestID = scope.requestID
        line.counts = scope.counts.value
        recent.add(line)
    }

    private func log(
        _ request: Request, _ path: String, _ response: Response, _ scope: RequestScope,
        _ duration: Duration
    ) {
        var metadata: Logger.Metadata = .fields([
            .requestID: .string(scope.requestID), .method: .string(request.method.rawValue),
            .route: .string(path),
            .status: .stringConvertible(response.status.code),
            .milliseconds: .stringConvertible(duration.milliseconds),
            .bytesOut: .stringConvertible(response.body.contentLength ?? 0),
        ])
        if let length = request.headers[.contentLength].flatMap({ Int($0) }) {
            metadata[.bytesIn] = .stringConvertible(length)
        }
        if let caller = scope.caller {
            metadata[.user] = .string(userHash(caller.user))
            metadata[.source] = .string(caller.device)
        }
        if let trace = scope.trace { metadata[.traceparent] = .string(trace.traceparent) }
        let isProbe = path == "/health" || path == "/ready"
        let level = isProbe ? .debug : scope.waited.isIdle ? idlePolls.level() : .info
        logger.log(level: level, "request", metadata: metadata)
    }
}
