import HTTPTypes
import Hummingbird
import NIOCore
import RPC
import WireJSON

/// An answer that is an error: `{"error","message","request_id"}`.
struct WireError: Error, Hashable {
    let status: HTTPResponse.Status
    let code: String
    let message: String
    /// Seconds after which a repeat has a chance.
    var retryAfter: Int?
    /// The methods that the path knows.
    var allow: String?

    static func invalid(_ message: String) -> WireError {
        WireError(status: .badRequest, code: "invalid_request", message: message)
    }

    static func unauthenticated(_ message: String) -> WireError {
        WireError(status: .unauthorized, code: "authentication_failed", message: message)
    }

    static let notFound = WireError(
        status: .notFound, code: "not_found", message: "There is nothing at this path")
    static let timedOut = WireError(
        status: .serviceUnavailable, code: "timeout",
        message: "The request took too long; send it again",
        retryAfter: 1)
    static let draining = WireError(RPCFailure.draining)
    static let cutOff = WireError(
        status: .badRequest, code: "invalid_request",
        message: "The connection ended before the body did")
    /// Its client has gone before there was an answer: for metrics and the log, as nobody hears it.
    static let clientGone = WireError(
        status: .init(code: 499, reasonPhrase: "Client Gone"), code: "client_gone",
        message: "The client has gone")
    static let internalError = WireError(
        status: .internalServerError, code: "internal", message: "Internal error")

    static func tooLarge(
        limit: Int, advice: String = "send fewer changes at once"
    ) -> WireError {
        WireError(
            status: .contentTooLarge, code: "payload_too_large",
            message: "The body is larger than \(limit) bytes; \(advice)")
    }

    /// The one table of how a failed call looks to the device.
    init(_ failure: RPCFailure) {
        // A service of the version before does not know the method yet.
        let failure = failure.code == "unknown_method" ? .unavailable() : failure
        let status: HTTPResponse.Status =
            switch failure.status {
            case .invalidArgument: .badRequest
            case .unauthenticated: .unauthorized
            case .permissionDenied: .forbidden
            case .notFound: .notFound
            case .conflict: .conflict
            case .gone: .gone
            case .tooLarge: .contentTooLarge
            case .resourceExhausted: .tooManyRequests
            case .unavailable, .deadlineExceeded, .cancelled: .serviceUnavailable
            case .internal: .internalServerError
            }
        self.init(status: status, code: failure.code, message: failure.message)
        if status == .serviceUnavailable || status == .tooManyRequests {
            // A whole number of seconds, at least one: 0 would ask for a storm of repeats.
            let seconds = failure.retryAfter.map {
                $0.components.seconds + ($0.components.attoseconds > 0 ? 1 : 0)
            }
            retryAfter = Int(max(1, seconds ?? 1))
        }
    }

    init(
        status: HTTPResponse.Status, code: String, message: String, retryAfter: Int? = nil,
        allow: String? = nil
    ) {
        self.status = status
        self.code = code
        self.message = message
        self.retryAfter = retryAfter
        self.allow = allow
    }

    func response(requestID: String) -> Response {
        var response = Response.json(
            status,
            [
                "error": .string(code), "message": .string(message),
                "request_id": .string(requestID),
            ])
        if let retryAfter { response.headers[.retryAfter] = String(retryAfter) }
        if let allow { response.headers[.allow] = allow }
        if status == .unauthorized { response.headers[.wwwAuthenticate] = "Bearer" }
        return response
    }
}

extension Response {
    static func json(_ status: HTTPResponse.Status, _ body: ByteBuffer) -> Response {
        Response(
            status: status, headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: body))
    }

    static func json(_ body: String) -> Response { json(.ok, ByteBuffer(string: body + "\n")) }

    /// An answer that is rarely sent.
    static func json(_ status: HTTPResponse.Status, _ document: JSONDocument) -> Response {
        json(status, ByteBuffer(bytes: document.bytes + [UInt8(ascii: "\n")]))
    }
}
