import HTTPTypes
import Hummingbird
import NIOCore
import Protos
import RPC
import ServiceKit
import Telemetry
import WireJSON

/// What administrators look at. The console (`Docs/console.md`) shows it.
struct AdminViewRoutes: Sendable {
    /// Rows of the audit when no number is given.
    private static let defaultLimit = 100
    private static let maximumLimit = 1000
    /// The longest wait for what replicas say of their connections.
    private static let poolPatience: Duration = .seconds(1)

    let upstreams: [(name: String, client: RPCClient)]
    let upload: RPCClient
    let auth: RPCClient
    let metrics: MetricsRegistry

    var routes: [Route] {
        [
            Route(.get, "/admin/services", for: .administrators) { await services($1) },
            Route(.get, "/admin/metrics", for: .administrators) { _, _ in
                Response(
                    status: .ok, headers: [.contentType: "text/plain"],
                    body: ResponseBody(byteBuffer: ByteBuffer(string: metrics.rendered())))
            },
            Route(.get, "/admin/overview", for: .administrators) {
                try await view(.overview, $0, $1)
            },
            Route(.get, "/admin/tables", for: .administrators) { try await view(.tables, $0, $1) },
            Route(.get, "/admin/conflicts", for: .administrators) { try await conflicts($1) },
            Route(.get, "/admin/devices/explain", for: .administrators) {
                try await view(.device, $0, $1, needs: ["user", "device"])
            },
            Route(.get, "/admin/rows", for: .administrators) {
                try await view(.row, $0, $1, needs: ["user", "schema", "table", "pk"])
            },
            Route(.get, "/admin/audit", for: .administrators) { try await view(.audit, $0, $1) },
            Route(.get, "/admin/keys", for: .administrators) { try await keys($1) },
        ]
    }

    /// What this gateway is, how the replicas are that it is connected to, and their connections to
    /// PostgreSQL.
    private func services(_ scope: RequestScope) async -> Response {
        var context = scope.context()
        context.deadline = min(context.deadline, .now + Self.poolPatience)
        let services = await withTaskGroup(of: (Int, JSONDocument).self) { group in
            for (place, upstream) in upstreams.enumerated() {
                group.addTask { [context] in
                    let (name, client) = upstream
                    let pools = await Self.pools(of: client, context)
                    let replicas = client.replicas.map { replica in
                        Self.document(replica, client, pools[replica.name])
                    }
                    return (
                        place,
                        [
                            "service": .string(name), "is_ready": .bool(client.isReady),
                            "replicas": .array(replicas),
                        ]
                    )
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        return .json(
            .ok,
            [
                "gateway": [
                    "version": .string(BuildInfo.version), "commit": .string(BuildInfo.commit),
                    "layout": .integer(Int64(BuildInfo.layout)),
                ],
                "services": .array(services.sorted { $0.0 < $1.0 }.map(\.1)),
            ])
    }

    /// The connections of each replica that answers in time, and lets this gateway ask.
    private static func pools(
        of client: RPCClient, _ context: CallContext
    ) async -> [String: JSONDocument] {
        let answers = await client.callEach(
            ProcessRPC.readPool, ReadPoolRequest(), context: context)
        var pools: [String: JSONDocument] = [:]
        for (replica, outcome) in answers {
            guard let pool = try? outcome.get().message else { continue }
            pools[replica] = [
                "in_use": .integer(Int64(pool.inUse)), "idle": .integer(Int64(pool.idle)),
                "connecting": .integer(Int64(pool.connecting)),
                "maximum": .integer(Int64(pool.maximum)),
                "waiting": .integer(Int64(pool.waiting)),
            ]
        }
        return pools
    }

    private static func document(
        _ replica: (name: String, status: ServiceStatus), _ client: RPCClient,
        _ pool: JSONDocument?
    ) -> JSONDocument {
        [
            "name": .string(replica.name),
            "version": client.server(named: replica.name).map { .string($0.productVersion) },
            "status": .string(replica.status.state.rawValue),
            "problems": .array(replica.status.problems.map { .string($0) }),
            "pool": pool,
        ]
    }

    /// The conflicts that each replica of Upload remembers.
    ///
    /// - Throws: `RPCFailure`, if none answers.
    private func conflicts(_ scope: RequestScope) async throws -> Response {
        var request = InspectRequest()
        request.view = .conflicts
        let answers = await upload.callEach(
            UploadRPC.inspect, request, context: scope.context())
        var body = ByteBuffer(string: #"{"replicas":["#)
        var failure: RPCFailure?
        var isFirst = true
        for (_, outcome) in answers {
            switch outcome {
            case .success(let reply):
                if !isFirst { body.writeString(",") }
                isFirst = false
                body.writeImmutableBuffer(reply.body)
            case .failure(let cause): failure = cause
            }
        }
        if isFirst { throw failure ?? .unavailable("No replica of Upload answers") }
        body.writeString("]}\n")
        return .json(.ok, body)
    }

    /// - Parameter needed: parameters that must not be empty.
    private func view(
        _ view: InspectRequest.View, _ request: Request, _ scope: RequestScope,
        needs needed: [String] = []
    ) async throws -> Response {
        let parameters = request.uri.queryParameters
        func text(_ name: String) throws(WireError) -> String {
            let text = parameters[name[...]].map(String.init) ?? ""
            guard !text.contains("\0") else {
                throw .invalid("\(name) must be text without the character NUL")
            }
            guard !needed.contains(name) || !text.isEmpty else {
                throw .invalid("\(name) must not be empty")
            }
            return text
        }
        var message = InspectRequest()
        message.view = view
        message.user = try text("user")
        message.device = try text("device")
        message.schema = try text("schema")
        message.table = try text("table")
        message.key = try text("pk")
        message.action = try text("action")
        message.limit = Int32(
            try Self.number(parameters["limit"], "limit", 1...Int64(Self.maximumLimit))
                ?? Int64(Self.defaultLimit))
        message.before = try Self.number(parameters["before"], "before", 1...Int64.max) ?? 0
        let reply = try await upload.call(UploadRPC.inspect, message, context: scope.context())
        return .json(.ok, reply.body)
    }

    private static func number(
        _ text: Substring?, _ name: String, _ range: ClosedRange<Int64>
    ) throws(WireError) -> Int64? {
        guard let text else { return nil }
        guard let number = Int64(text), range.contains(number) else {
            throw .invalid("\(name) must be between \(range.lowerBound) and \(range.upperBound)")
        }
        return number
    }

    private func keys(_ scope: RequestScope) async throws -> Response {
        let reply = try await auth.call(
            AuthRPC.listKeys, ListKeysRequest(), context: scope.context()
        ).message
        return .json(
            .ok,
            [
                "keys": .array(
                    reply.keys.map { key in
                        [
                            "kid": .string(key.kid), "state": .string(key.state),
                            "signs_from": .string(key.signsFrom),
                            "retires": key.retires.isEmpty ? nil : .string(key.retires),
                        ]
                    })
            ])
    }
}
