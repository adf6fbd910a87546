import Foundation

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// The default transport, over URLSession.
///
/// Certificates are checked against the system's authorities. For a development authority: on Apple
/// platforms install it in the keychain; on Linux use `AsyncHTTPTransport` (product
/// `OverSQLiteAsyncHTTP`), since Foundation there trusts no other.
public struct URLSessionTransport: HTTPTransport {
    private let session: URLSession

    /// - Parameter timeout: seconds without a byte after which a request fails. It must be longer than the
    ///   long poll (`SyncConfiguration.longPoll`).
    public init(timeout: Double = 90) {
        let configuration = URLSessionConfiguration.ephemeral
        configuration.timeoutIntervalForRequest = timeout
        configuration.requestCachePolicy = .reloadIgnoringLocalCacheData
        configuration.httpCookieStorage = nil
        configuration.urlCache = nil
        session = URLSession(configuration: configuration)
    }

    /// - Parameter session: a session the app has set up, for example with its own certificate checks.
    public init(session: URLSession) { self.session = session }

    public func send(_ request: TransportRequest) async throws -> TransportResponse {
        var native = URLRequest(url: request.url)
        native.httpMethod = request.method
        for (name, value) in request.headers { native.setValue(value, forHTTPHeaderField: name) }
        native.httpBody = request.body.map { Data($0) }
        let (data, response) = try await session.data(for: native)
        guard let response = response as? HTTPURLResponse else {
            throw URLError(.badServerResponse)
        }
        var headers: [String: String] = [:]
        for (name, value) in response.allHeaderFields {
            headers["\(name)".lowercased()] = "\(value)"
        }
        return TransportResponse(status: response.statusCode, headers: headers, body: Array(data))
    }
}
