import HTTPTypes
import Hummingbird
import NIOCore
import Protos
import RPC
import WireJSON

/// What administrators read and repair over HTTPS.
struct AdminRoutes: Sendable {
    /// Failures listed when no number is given.
    private static let defaultLimit = 100
    private static let maximumLimit = 1000
    /// Longest body of a retry, in bytes.
    private static let maximumRetryBytes = 1024

    let upload: RPCClient
    let work: LongWork

    var routes: [Route] {
        [
            Route(.get, "/admin/materialize-failures", for: .administrators) {
                try await list($0, $1)
            },
            Route(.post, "/admin/materialize-failures/retry", for: .administrators) {
                try await retry($0, $1)
            },
        ]
    }

    private func list(_ request: Request, _ scope: RequestScope) async throws -> Response {
        let parameters = request.uri.queryParameters
        var message = ListFailuresRequest()
        message.schema = parameters["schema"].map(String.init) ?? ""
        message.table = parameters["table"].map(String.init) ?? ""
        message.user = parameters["user"].map(String.init) ?? ""
        for filter in [message.schema, message.table, message.user] where filter.contains("\0") {
            throw WireError.invalid("a filter must be text without the character NUL")
        }
        // What is no sensible limit counts as none, as existing tools expect.
        let limit = parameters["limit"].flatMap { Int($0) } ?? Self.defaultLimit
        message.limit = Int32((1...Self.maximumLimit).contains(limit) ? limit : Self.defaultLimit)
        let reply = try await upload.call(
            UploadRPC.listFailures, message, context: scope.context())
        return .json(.ok, .array(reply.message.failures.map(Self.document)))
    }

    private static func document(_ failure: MaterializeFailure) -> JSONDocument {
        [
            "id": .integer(failure.id), "user_id": .string(failure.user),
            "source_id": .string(failure.device),
            "source_change_id": .integer(failure.sourceChangeID),
            "schema": .string(failure.schema), "table": .string(failure.table),
            "pk": .string(failure.key), "attempted_version": .integer(failure.attemptedVersion),
            "op": .string(failure.operation),
            // As its device sent it.
            "payload": failure.payload.isEmpty ? nil : .written(failure.payload),
            "sqlstate": .string(failure.sqlstate), "error": .string(failure.error),
            "first_seen": .string(failure.firstSeen),
            "retry_count": .integer(Int64(failure.retryCount)),
        ]
    }

    private func retry(_ request: Request, _ scope: RequestScope) async throws -> Response {
        var message = RetryFailureRequest()
        if let id = request.uri.queryParameters["id"] {
            message.id = Int64(id) ?? 0
        } else {
            let bodies = BodyReader(maximumBytes: Self.maximumRetryBytes, work: work)
            let body = try await bodies.body(of: request, scope)
            message.id = Self.id(in: body) ?? 0
        }
        guard message.id > 0 else { throw WireError.invalid("missing or invalid id") }
        let reply = try await upload.call(
            UploadRPC.retryFailure, message, context: scope.context())
        return .json(.ok, reply.body)
    }

    /// The member `id` of an object.
    private static func id(in body: ByteBuffer) -> Int64? {
        body.withUnsafeReadableBytes { raw in
            var reader = JSONReader(raw.bindMemory(to: UInt8.self))
            var id: Int64?
            do throws(JSONError) {
                try reader.readObject { reader, member throws(JSONError) in
                    if reader.key(member, is: "id") {
                        id = try reader.readInt64()
                    } else {
                        _ = try reader.skipValue()
                    }
                }
                return id
            } catch {
                return nil
            }
        }
    }
}
