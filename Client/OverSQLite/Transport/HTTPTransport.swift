import Foundation

/// A request to the gateway.
public struct TransportRequest: Sendable {
    /// `GET` or `POST`.
    public var method: String
    public var url: URL
    public var headers: [String: String]
    public var body: [UInt8]?

    public init(method: String, url: URL, headers: [String: String] = [:], body: [UInt8]? = nil) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
    }
}

/// An answer, whatever its status.
public struct TransportResponse: Sendable {
    public var status: Int
    /// By lower-case name.
    public var headers: [String: String]
    public var body: [UInt8]

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
}
