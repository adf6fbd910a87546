import Foundation
import OperatorKit
import OverSQLite
import OverSQLiteAsyncHTTP

/// Finds the development stack for each request: it may stop, and come back on another port.
actor StackTransport: HTTPTransport {
    /// Stands in requests' addresses until the stack's own takes its place.
    static let placeholder = "https://127.0.0.1"

    private let stack: @Sendable () throws -> StackAddress
    private var current: (gateway: String, transport: AsyncHTTPTransport)?

    init(stack: @escaping @Sendable () throws -> StackAddress) { self.stack = stack }

    func send(_ request: TransportRequest) async throws -> TransportResponse {
        let (transport, request) = try await addressed(request)
        return try await transport.send(request)
    }

    nonisolated var canStream: Bool { true }

    func stream(
        _ request: TransportRequest,
        _ receive: @escaping @Sendable (TransportPart) async throws -> Void
    ) async throws {
        let (transport, request) = try await addressed(request)
        try await transport.stream(request, receive)
    }

    /// The request as it goes to the stack that runs now.
    private func addressed(
        _ request: TransportRequest
    ) async throws -> (AsyncHTTPTransport, TransportRequest) {
        let address = try stack()
        var request = request
        request.url = try Self.url(request.url, at: address.gateway)
        return (try await transport(to: address), request)
    }

    /// Ends the connections.
    func shutdown() async throws {
        try await current?.transport.shutdown()
        current = nil
    }

    private func transport(to address: StackAddress) async throws -> AsyncHTTPTransport {
        if let current, current.gateway == address.gateway { return current.transport }
        let before = current?.transport
        let transport = try AsyncHTTPTransport(trusting: address.authority)
        current = (address.gateway, transport)
        try await before?.shutdown()
        return transport
    }

    private static func url(_ url: URL, at gateway: String) throws -> URL {
        guard var parts = URLComponents(url: url, resolvingAgainstBaseURL: false),
            let base = URLComponents(string: gateway)
        else { throw StackError("\(gateway) is not a URL") }
        (parts.scheme, parts.host, parts.port) = (base.scheme, base.host, base.port)
        guard let moved = parts.url else { throw StackError("\(gateway) is not a URL") }
        return moved
    }
}
