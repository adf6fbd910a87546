import HTTPTypes
import Hummingbird
import NIOCore
import RPC
import WireJSON

/// What a load balancer asks: `/health` says that the process answers, `/ready` that a request would.
struct HealthRoutes: Sendable {
    let upstreams: [(name: String, client: RPCClient)]

    var routes: [Route] {
        [
            Route(.get, "/health") { _, _ in .json(#"{"status":"ok"}"#) },
            Route(.get, "/ready") { _, _ in ready() },
        ]
    }

    private func ready() -> Response {
        let missing = missing
        guard !missing.isEmpty else { return .json(#"{"status":"ready"}"#) }
        var json: [UInt8] = Array(#"{"status":"not ready","missing":["#.utf8)
        for (index, name) in missing.enumerated() {
            if index > 0 { json.append(UInt8(ascii: ",")) }
            json.append(jsonString: name)
        }
        json += Array("]}\n".utf8)
        var response = Response.json(.serviceUnavailable, ByteBuffer(bytes: json))
        response.headers[.retryAfter] = "1"
        return response
    }

    /// Services without a live replica.
    var missing: [String] { upstreams.filter { !$0.client.isReady }.map(\.name) }
}
