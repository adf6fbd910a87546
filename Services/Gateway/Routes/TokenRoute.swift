import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import Protos
import RPC
import WireJSON

/// Tokens for back ends: the client credentials grant of OAuth 2.0 (RFC 6749 §4.4). Auth decides;
/// the gateway reads the form, and bounds how often an address may be wrong.
struct TokenRoute: Sendable {
    /// Longest form, in bytes.
    private static let maximumBytes = 4096
    private static let path = "/auth/token"
    private static let grant = "client_credentials"

    let auth: RPCClient
    let work: LongWork
    let rejections: RejectedTokens?

    var routes: [Route] {
        [
            Route(.post, Self.path, knowsAddress: true) { request, scope in
                do {
                    return try await answer(request, scope)
                } catch let error as WireError where Self.isOAuth(error.status) {
                    return Self.response(error, scope)
                }
            }
        ]
    }

    private func answer(_ request: Request, _ scope: RequestScope) async throws -> Response {
        let bodies = BodyReader(
            maximumBytes: Self.maximumBytes, work: work,
            advice: "send only the fields of a token request, each once")
        let body = try await bodies.body(of: request, scope)
        let address = scope.address ?? .unknown
        let message: IssueClientTokenRequest
        do throws(WireError) {
            message = try Self.message(request.headers, body, scope.certificate)
        } catch {
            // A client that cannot be told from others is one that guesses.
            if error.status == .unauthorized { try rejections?.begin(address) }
            throw error
        }
        try rejections?.begin(address)
        let reply: IssueTokenReply
        do throws(RPCFailure) {
            reply = try await auth.call(
                AuthRPC.issueClientToken, message, context: scope.context()
            ).message
        } catch {
            if error.status != .unauthenticated { rejections?.accept(address) }
            // An Auth of the version before does not know it yet.
            throw WireError(error)
        }
        rejections?.accept(address)
        return .json(
            .ok,
            [
                "access_token": .string(reply.token), "token_type": "Bearer",
                "expires_in": .integer(Int64(reply.expiresIn)),
                "scope": message.roles.isEmpty
                    ? nil : .string(message.roles.joined(separator: " ")),
            ])
    }

    private static func message(
        _ headers: HTTPFields, _ body: ByteBuffer, _ certificate: ClientCertificate?
    ) throws(WireError) -> IssueClientTokenRequest {
        let type = headers[.contentType]?.split(separator: ";").first?.lowercased()
        guard type?.trimmingCharacters(in: .whitespaces) == Form.contentType else {
            throw .invalid("Content-Type must be \(Form.contentType)")
        }
        let form = try Form(body)
        guard let grantType = form["grant_type"] else {
            throw .invalid("grant_type required")
        }
        guard grantType == grant else {
            throw WireError(
                status: .badRequest, code: "unsupported_grant_type",
                message: "grant_type must be \(grant)")
        }
        let credentials = try ClientCredentials(
            headers[.authorization], form, mayLackSecret: certificate != nil)
        guard let user = form["user"] else { throw .invalid("user required") }
        guard let device = form["device"] else { throw .invalid("device required") }
        var message = IssueClientTokenRequest()
        message.clientID = credentials.id
        message.clientSecret = credentials.secret
        message.certificateNames = certificate?.names ?? []
        message.user = user
        message.device = device
        for role in form["scope"]?.split(separator: " ").map(String.init) ?? []
        where !message.roles.contains(role) {
            message.roles.append(role)
        }
        if let lifetime = form["lifetime"] {
            guard let seconds = UInt32(lifetime), seconds > 0 else {
                throw .invalid("lifetime must be a number of seconds")
            }
            message.lifetimeSeconds = seconds
        }
        return message
    }

    /// Statuses whose answers have the form of RFC 6749 §5.2.
    private static func isOAuth(_ status: HTTPResponse.Status) -> Bool {
        status == .badRequest || status == .unauthorized
    }

    private static func response(_ error: WireError, _ scope: RequestScope) -> Response {
        var response = Response.json(
            error.status,
            [
                "error": .string(error.code), "error_description": .string(error.message),
                "message": .string(error.message), "request_id": .string(scope.requestID),
            ])
        if error.status == .unauthorized {
            response.headers[.wwwAuthenticate] = #"Basic realm="oversync", charset="UTF-8""#
        }
        return response
    }
}

/// Who a back end says it is: by HTTP Basic, or in the form (RFC 6749 §2.3.1).
struct ClientCredentials: Hashable {
    let id: String
    /// Empty where a certificate stands for it.
    let secret: String

    /// - Parameter mayLackSecret: the client has shown a certificate (RFC 8705 §2.1).
    init(
        _ authorization: String?, _ form: Form, mayLackSecret: Bool = false
    ) throws(WireError) {
        guard let authorization else {
            let without = mayLackSecret ? "" : nil
            guard let id = form["client_id"], let secret = form["client_secret"] ?? without else {
                throw Self.invalid("client_id and client_secret required")
            }
            (self.id, self.secret) = (id, secret)
            return
        }
        // A client_id in addition to Basic is what some libraries send.
        guard form["client_secret"] == nil else {
            throw .invalid("client credentials must come once, by HTTP Basic or in the form")
        }
        let parts = authorization.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "basic",
            let data = Data(base64Encoded: String(parts[1])),
            let text = String(validating: data, as: UTF8.self),
            let colon = text.utf8.firstIndex(of: UInt8(ascii: ":")),
            let id = Form.decoded(text.utf8[..<colon]),
            let secret = Form.decoded(text.utf8[text.utf8.index(after: colon)...])
        else { throw Self.invalid("Authorization must be Basic with client id and secret") }
        guard form["client_id"] == nil || form["client_id"] == id else {
            throw .invalid("client_id differs from that of the Authorization header")
        }
        (self.id, self.secret) = (id, secret)
    }

    private static func invalid(_ message: String) -> WireError {
        WireError(status: .unauthorized, code: "invalid_client", message: message)
    }
}

/// A form of a browser: names and values, each name once.
struct Form {
    static let contentType = "application/x-www-form-urlencoded"

    private let values: [String: String]

    /// - Throws: `WireError` 400 for a name that is repeated, or text that is not UTF-8.
    init(_ body: ByteBuffer) throws(WireError) {
        var values: [String: String] = [:]
        for pair in body.readableBytesView.split(separator: UInt8(ascii: "&")) {
            let parts = pair.split(
                separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = Self.decoded(parts[0]),
                let value = Self.decoded(parts.count > 1 ? parts[1] : pair[pair.endIndex...])
            else { throw .invalid("the form must be UTF-8, with % and two digits for other bytes") }
            // One that is empty counts as left out (RFC 6749 §3.2).
            guard !value.isEmpty else { continue }
            guard values.updateValue(value, forKey: name) == nil else {
                throw .invalid("a field must come once")
            }
        }
        self.values = values
    }

    subscript(_ name: String) -> String? { values[name] }

    /// Text with `+` for a blank and `%` with two digits for any byte; nil if it is anything else.
    static func decoded(_ text: some Collection<UInt8>) -> String? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count)
        var index = text.startIndex
        func next() -> UInt8? {
            guard index < text.endIndex else { return nil }
            defer { index = text.index(after: index) }
            return text[index]
        }
        while let byte = next() {
            switch byte {
            case UInt8(ascii: "+"): bytes.append(UInt8(ascii: " "))
            case UInt8(ascii: "%"):
                guard let high = next().flatMap(digit), let low = next().flatMap(digit) else {
                    return nil
                }
                bytes.append(high << 4 | low)
            default: bytes.append(byte)
            }
        }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
