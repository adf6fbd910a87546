import HTTPTypes
import Hummingbird
import NIOCore
import Protos
import RPC
import WireJSON

/// The public keys, and sign-in for development.
struct AuthRoutes: Sendable {
    /// Longest body of a sign-in, in bytes.
    private static let maximumSignInBytes = 4096

    /// When `/dummy-signin` got its better name: seconds since 1970 (RFC 9745).
    private static let dummySignInDeprecated = "@1793491200"

    let auth: RPCClient
    let keys: KeySource
    let work: LongWork
    let allowsDevelopmentSignIn: Bool

    var routes: [Route] {
        var routes = [
            Route(.get, "/.well-known/jwks.json") { _, _ in
                .json(try await keys.published.document())
            }
        ]
        if allowsDevelopmentSignIn {
            routes.append(Route(.post, "/dev/sign-in") { try await signIn($0, $1) })
            // The name that existing clients' examples use.
            routes.append(
                Route(.post, "/dummy-signin") { request, scope in
                    var response = try await signIn(request, scope)
                    response.headers[.deprecation] = Self.dummySignInDeprecated
                    return response
                })
        }
        return routes
    }

    private func signIn(_ request: Request, _ scope: RequestScope) async throws -> Response {
        let bodies = BodyReader(maximumBytes: Self.maximumSignInBytes, work: work)
        let body = try await bodies.body(of: request, scope)
        let message = try Self.message(body)
        let reply = try await auth.call(
            AuthRPC.developmentSignIn, message, context: scope.context()
        ).message
        return .json(
            .ok,
            [
                "token": .string(reply.token), "expires_in": .integer(Int64(reply.expiresIn)),
                "user": .string(message.user), "device": .string(message.device),
            ])
    }

    private static func message(_ body: ByteBuffer) throws(WireError) -> DevelopmentSignInRequest {
        var message = DevelopmentSignInRequest()
        let failure: JSONError? = body.withUnsafeReadableBytes { raw in
            var reader = JSONReader(raw.bindMemory(to: UInt8.self))
            do throws(JSONError) {
                try reader.readObject { reader, member throws(JSONError) in
                    if reader.key(member, is: "user") {
                        message.user = try reader.readString()
                    } else if reader.key(member, is: "device") {
                        message.device = try reader.readString()
                    } else {
                        _ = try reader.skipValue()
                    }
                }
                return nil
            } catch {
                return error
            }
        }
        if failure != nil { throw .invalid("invalid JSON") }
        if message.user.isEmpty { throw .invalid("user required") }
        if message.device.isEmpty {
            message.device = "device-" + String(UInt64.random(in: 0 ... .max), radix: 36)
        }
        return message
    }
}
