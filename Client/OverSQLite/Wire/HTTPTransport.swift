import Foundation

/// A request to the gateway.
public struct TransportRequest: Sendable {
    /// `GET` or `POST`.
    public var method: String
    /// Scheme, host, path and query.
    public var url: URL
    /// Values by name; a name stands once.
    public var headers: [String: String]
    /// The bytes to send, ready compressed if `Content-Encoding` says so; nil for none.
    public var body: [UInt8]?

    /// A request as it is to be sent.
    public init(method: String, url: URL, headers: [String: String] = [:], body: [UInt8]? = nil) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
    }
}

/// An answer, whatever its status.
public struct TransportResponse: Sendable {
    /// The HTTP status.
    public var status: Int
    /// By lower-case name.
    public var headers: [String: String]
    /// The whole body; as it came if `content-encoding` is among the headers and the transport left
    /// it so.
    public var body: [UInt8]

    /// An answer as it came.
    public init(status: Int, headers: [String: String] = [:], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }
}

/// Carries requests to the gateway. The default is `URLSessionTransport`; an app may bring its own.
public protocol HTTPTransport: Sendable {
    /// Sends a request and returns the whole answer. Must end soon when its task is cancelled.
    ///
    /// - Throws: any error if there is no answer; whether the request arrived is then unknown.
    func send(_ request: TransportRequest) async throws -> TransportResponse

    /// Whether ``stream(_:_:)`` works. Without it news is waited for by requests that the gateway
    /// holds.
    var canStream: Bool { get }

    /// Sends a request and hands on its answer as it comes: the head, then bytes, until the answer
    /// ends. The answer may take for ever: no time limit applies. Must end soon when its task is
    /// cancelled.
    ///
    /// - Parameters:
    ///   - request: goes out once.
    ///   - receive: is called with one part at a time; what it throws ends the stream.
    /// - Throws: any error if the answer breaks off, or what `receive` threw.
    func stream(
        _ request: TransportRequest,
        _ receive: @escaping @Sendable (TransportPart) async throws -> Void
    ) async throws
}

/// A part of an answer that is read as it comes.
public enum TransportPart: Sendable {
    /// Status and headers; the body is empty.
    case head(TransportResponse)
    /// The next bytes of the body.
    case bytes([UInt8])
}

/// Thrown by a transport that reads answers as a whole only.
public struct StreamingUnsupported: Error, Sendable, Hashable {
    /// Makes the error, which holds nothing.
    public init() {}
}

extension HTTPTransport {
    /// False: a transport says so when it can.
    public var canStream: Bool { false }

    /// - Throws: `StreamingUnsupported`.
    public func stream(
        _ request: TransportRequest,
        _ receive: @escaping @Sendable (TransportPart) async throws -> Void
    ) async throws {
        throw StreamingUnsupported()
    }
}
