import Foundation

/// An HTTP request to the gateway.
public struct TransportRequest: Sendable {
    /// `GET` or `POST`.
    public var method: String
    /// Scheme, host, path and query.
    public var url: URL
    /// Header values by name. Each name occurs once.
    public var headers: [String: String]
    /// The body, already compressed if `Content-Encoding` says so; nil if there is none.
    public var body: [UInt8]?

    /// Makes a request.
    public init(method: String, url: URL, headers: [String: String] = [:], body: [UInt8]? = nil) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
    }
}

/// An HTTP response, whatever its status.
public struct TransportResponse: Sendable {
    /// The HTTP status.
    public var status: Int
    /// Header values by lower-case name.
    public var headers: [String: String]
    /// The whole body. It may still be compressed; then `content-encoding` is among the headers.
    public var body: [UInt8]

    /// Makes a response.
    public init(status: Int, headers: [String: String] = [:], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }
}

/// Carries HTTP requests to the gateway. The default is `URLSessionTransport`; an app can provide
/// its own.
public protocol HTTPTransport: Sendable {
    /// Sends a request and returns the complete response. Must return soon after its task is
    /// cancelled.
    ///
    /// - Throws: any error if there is no response. The engine then does not know whether the
    ///   request arrived.
    func send(_ request: TransportRequest) async throws -> TransportResponse

    /// Whether ``stream(_:_:)`` works. If not, the engine waits for new changes by long polling.
    var canStream: Bool { get }

    /// Sends a request and passes on the response as it arrives: first the head, then bytes, until
    /// the response ends. The response may last forever, so no timeout applies. Must return soon
    /// after its task is cancelled.
    ///
    /// - Parameters:
    ///   - request: the request, which is sent once.
    ///   - receive: called with one part at a time. If it throws, the stream ends.
    /// - Throws: any error if the connection breaks, or what `receive` threw.
    func stream(
        _ request: TransportRequest,
        _ receive: @escaping @Sendable (TransportPart) async throws -> Void
    ) async throws
}

/// A part of a response that is read as it arrives.
public enum TransportPart: Sendable {
    /// The status and the headers; the body is empty.
    case head(TransportResponse)
    /// The next bytes of the body.
    case bytes([UInt8])
}

/// Thrown by a transport that can only read a response as a whole.
public struct StreamingUnsupported: Error, Sendable, Hashable {
    /// Makes the error.
    public init() {}
}

extension HTTPTransport {
    /// The default: false.
    public var canStream: Bool { false }

    /// The default: always throws.
    ///
    /// - Throws: `StreamingUnsupported`.
    public func stream(
        _ request: TransportRequest,
        _ receive: @escaping @Sendable (TransportPart) async throws -> Void
    ) async throws {
        throw StreamingUnsupported()
    }
}
