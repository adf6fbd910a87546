import HTTPTypes
import Hummingbird
import RPC
import ServiceKit
import WireJSON

/// What a load balancer asks: `/health` says that the process answers, `/ready` that a request would.
struct HealthRoutes: Sendable {
    let upstreams: [(name: String, client: RPCClient)]
    let drain: Drain

    var routes: [Route] {
        [
            Route(.get, "/health", isProbe: true) { _, _ in .json(.ok, ["status": "ok"]) },
            Route(.get, "/ready", isProbe: true) { _, _ in
                drain.isDraining ? Self.draining : ready()
            },
        ]
    }

    private func ready() -> Response {
        let missing = missing
        guard !missing.isEmpty else { return .json(.ok, ["status": "ready"]) }
        var response = Response.json(
            .serviceUnavailable,
            ["status": "not ready", "missing": .array(missing.map { .string($0) })])
        response.headers[.retryAfter] = "1"
        return response
    }

    private static var draining: Response {
        var response = Response.json(.serviceUnavailable, ["status": "draining"])
        response.headers[.retryAfter] = "1"
        return response
    }

    /// Services without a replica that can serve.
    private var missing: [String] { upstreams.filter { !$0.client.isReady }.map(\.name) }

    /// What an operator should know of the services: why one is missing, and what is wrong with
    /// replicas while others do their work.
    var problems: [ReadinessProblem] {
        upstreams.flatMap { name, client in
            UpstreamProblems.of(name, client.replicas, canServe: client.isReady)
        }
    }
}

/// What the state of a service's replicas means for the gateway.
enum UpstreamProblems {
    /// - Parameters:
    ///   - service: its name, such as `upload`.
    ///   - canServe: whether a replica would take a call now.
    static func of(
        _ service: String, _ replicas: [(name: String, status: ServiceStatus)], canServe: Bool
    ) -> [ReadinessProblem] {
        let told = replicas.flatMap { name, status in
            status.problems.map { "\(service) (\(name)): \($0)" }
        }
        if canServe { return told.map { .degrading($0) } }
        let reason =
            replicas.isEmpty
            ? "no replica of \(service) is connected" : "no replica of \(service) is ready"
        return ([reason] + told).map { .blocking($0) }
    }
}
