import HTTPTypes
import Hummingbird
import HummingbirdCore
import Model
import NIOCore
import Protos
import RPC

/// `/sync/*`: bodies go through unread, parameters are read and checked here.
struct SyncRoutes: Sendable {
    /// The newest schema version that clients of this protocol know.
    private static let schemaVersion = 1

    let upload: RPCClient
    let download: RPCClient
    let bodies: BodyReader
    let maximumPageRows: Int

    var routes: [Route] {
        [
            Route(.post, "/sync/upload", isProtected: true) { try await pushChanges($0, $1) },
            Route(.get, "/sync/download", isProtected: true) { try await pullChanges($0, $1) },
            Route(.get, "/sync/schema-version", isProtected: true) { _, _ in
                .json(#"{"schema_version":\#(Self.schemaVersion)}"#)
            },
        ]
    }

    private func pushChanges(_ request: Request, _ scope: RequestScope) async throws -> Response {
        var message = PushChangesRequest()
        message.atomic = request.uri.queryParameters["atomic"] == "true"
        let body = try await bodies.body(of: request, scope)
        let reply = try await upload.call(
            UploadRPC.pushChanges, message, body: body, context: scope.context())
        return .json(.ok, reply.body)
    }

    private func pullChanges(_ request: Request, _ scope: RequestScope) async throws -> Response {
        let message = try DownloadQuery(
            request.uri.queryParameters, maximumRows: maximumPageRows
        ).message
        let reply = try await download.call(
            DownloadRPC.pullChanges, message,
            context: scope.context(waiting: .seconds(Int(message.waitSeconds))))
        return .json(.ok, reply.body)
    }
}

/// The parameters of a download, checked in the order and with the words that existing clients know.
struct DownloadQuery {
    let message: PullChangesRequest

    init(
        _ parameters: FlatDictionary<Substring, Substring>, maximumRows: Int
    ) throws(WireError) {
        var message = PullChangesRequest()
        message.limit = Int32(min(WireLimits.defaultRowsPerPage, maximumRows))
        if let after = parameters["after"], !after.isEmpty {
            guard let value = Int64(after) else { throw .invalid("after must be an integer") }
            guard value >= 0 else { throw .invalid("after must be >= 0") }
            message.after = value
        }
        if let limit = parameters["limit"], !limit.isEmpty {
            guard let value = Int64(limit) else { throw .invalid("limit must be an integer") }
            guard (1...Int64(maximumRows)).contains(value) else {
                throw .invalid("limit must be between 1 and \(maximumRows)")
            }
            message.limit = Int32(value)
        }
        if let schema = parameters["schema"], !schema.isEmpty {
            guard isWireIdentifier(schema) else { throw .invalid("invalid schema name") }
            message.schema = String(schema)
        }
        if let until = parameters["until"], !until.isEmpty {
            guard let value = Int64(until) else { throw .invalid("until must be an integer") }
            guard value >= 0 else { throw .invalid("until must be >= 0") }
            message.until = value
        }
        if let wait = parameters["wait"], !wait.isEmpty {
            guard let value = Int64(wait),
                (0...Int64(WireLimits.maximumWaitSeconds)).contains(value)
            else {
                throw .invalid(
                    "wait must be between 0 and \(WireLimits.maximumWaitSeconds) seconds")
            }
            message.waitSeconds = UInt32(value)
        }
        message.includeSelf = parameters["include_self"] == "true"
        self.message = message
    }
}
