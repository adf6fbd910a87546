import Digests
import Hummingbird
import HummingbirdCore
import Model
import NIOCore
import Protos
import RPC

/// `/sync/digest` and `/sync/rows`: what a device compares its rows with, and fetches where they
/// differ (promise P8).
struct DigestRoutes: Sendable {
    let download: RPCClient
    let bodies: BodyReader
    let work: LongWork

    var routes: [Route] {
        [
            Route(.get, "/sync/digest", for: .users) { try await readDigest($0, $1) },
            Route(.post, "/sync/rows", for: .users) { try await readRows($0, $1) },
        ]
    }

    private func readDigest(_ request: Request, _ scope: RequestScope) async throws -> Response {
        var message = try DigestQuery(request.uri.queryParameters).message
        message.epoch = try request.epoch
        if let pair = try request.history {
            (message.historySeq, message.historyTag) = (pair.sequence, pair.tag)
        }
        let reply = try await download.call(
            DownloadRPC.readDigest, message, context: scope.context())
        return try await answer(
            reply.body, request, scope, (reply.message.historySeq, reply.message.historyTag))
    }

    private func readRows(_ request: Request, _ scope: RequestScope) async throws -> Response {
        var message = ReadRowsRequest()
        message.after = try DownloadQuery.cursor(request.uri.queryParameters["after"], "after")
        message.compares = request.uri.queryParameters["compare"] == "true"
        message.epoch = try request.epoch
        if let pair = try request.history {
            (message.historySeq, message.historyTag) = (pair.sequence, pair.tag)
        }
        let body = try await bodies.body(of: request, scope)
        let reply = try await download.call(
            DownloadRPC.readRows, message, body: body, context: scope.context())
        return try await answer(
            reply.body, request, scope, (reply.message.historySeq, reply.message.historyTag))
    }

    /// - Parameter end: the change at the log's end.
    private func answer(
        _ body: ByteBuffer, _ request: Request, _ scope: RequestScope,
        _ end: (sequence: Int64, tag: UInt64)
    ) async throws -> Response {
        scope.held?.answer(body.readableBytes)
        try scope.held?.hold(body.readableBytes)
        var response = await Response.sync(
            body, .json, for: request, work, of: scope.caller?.userID)
        response.tell(history: end.sequence, end.tag)
        return response
    }
}

/// The parameters of a digest. Download checks what the numbers mean.
struct DigestQuery {
    let message: ReadDigestRequest

    init(_ parameters: FlatDictionary<Substring, Substring>) throws(WireError) {
        var message = ReadDigestRequest()
        if let schema = parameters["schema"], !schema.isEmpty {
            guard isWireIdentifier(schema) else { throw .invalid("invalid schema name") }
            message.schema = String(schema)
        }
        if let table = parameters["table"], !table.isEmpty {
            guard isWireIdentifier(table) else { throw .invalid("invalid table name") }
            message.table = String(table)
        }
        message.bucketCount = try Self.number(parameters["buckets"], "buckets")
        for bucket in (parameters["bucket"] ?? "").split(separator: ",") {
            // Download says how many are too many.
            guard message.buckets.count <= RowBuckets.counts.max() ?? 0 else { break }
            message.buckets.append(try Self.number(bucket, "bucket"))
        }
        self.message = message
    }

    /// 0 when it is not given.
    private static func number(_ text: Substring?, _ name: String) throws(WireError) -> UInt32 {
        guard let text, !text.isEmpty else { return 0 }
        guard let value = UInt32(text) else { throw .invalid("\(name) must be a number") }
        return value
    }
}
