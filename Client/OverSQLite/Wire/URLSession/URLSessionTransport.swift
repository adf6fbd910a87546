import Foundation

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// The default transport, based on URLSession.
///
/// It checks certificates against the system's authorities. For a development authority, install it
/// in the keychain on Apple platforms. On Linux use `AsyncHTTPTransport` (product
/// `OverSQLiteAsyncHTTP`), because Foundation there trusts only the system's authorities.
public struct URLSessionTransport: HTTPTransport {
    private let session: URLSession

    /// Makes a transport with a session of its own, without cookies and caches.
    ///
    /// - Parameter timeout: seconds without a byte after which a request fails. It must be longer
    ///   than the long poll (`SyncConfiguration.longPoll`).
    public init(timeout: Double = 90) {
        let configuration = URLSessionConfiguration.ephemeral
        configuration.timeoutIntervalForRequest = timeout
        configuration.requestCachePolicy = .reloadIgnoringLocalCacheData
        configuration.httpCookieStorage = nil
        configuration.urlCache = nil
        session = URLSession(configuration: configuration)
    }

    /// Makes a transport with the app's session.
    ///
    /// - Parameter session: a session that the app has configured, for example with its own
    ///   certificate checks.
    public init(session: URLSession) { self.session = session }

    /// Sends a request and returns the complete response.
    ///
    /// - Throws: URLSession's error if there is no response, wrapped in a `TransportFailure` if the
    ///   address or the certificate is the probable cause.
    public func send(_ request: TransportRequest) async throws -> TransportResponse {
        do {
            let (data, response) = try await session.data(for: Self.native(request))
            return try Self.answer(response, Array(data))
        } catch let error as URLError {
            guard let hint = error.hint(for: request.url) else { throw error }
            throw TransportFailure(error, hint: hint)
        }
    }

    /// Always true.
    public var canStream: Bool { true }

    /// Sends a request and passes on the response as it arrives.
    ///
    /// - Throws: URLSession's error if the connection breaks, `CancellationError` if the task is
    ///   cancelled, or what `receive` threw.
    public func stream(
        _ request: TransportRequest,
        _ receive: @escaping @Sendable (TransportPart) async throws -> Void
    ) async throws {
        let (parts, continuation) = AsyncThrowingStream.makeStream(of: TransportPart.self)
        let delegate = StreamDelegate(continuation)
        #if canImport(FoundationNetworking)
            // Foundation on Linux ignores a task's delegate and asks only the session's.
            let session = URLSession(
                configuration: session.configuration, delegate: delegate, delegateQueue: nil)
            defer { session.finishTasksAndInvalidate() }
            let task = session.dataTask(with: Self.native(request))
        #else
            let task = session.dataTask(with: Self.native(request))
            task.delegate = delegate
        #endif
        continuation.onTermination = { _ in task.cancel() }
        task.resume()
        for try await part in parts { try await receive(part) }
        try Task.checkCancellation()
    }

    private static func native(_ request: TransportRequest) -> URLRequest {
        var native = URLRequest(url: request.url)
        native.httpMethod = request.method
        for (name, value) in request.headers { native.setValue(value, forHTTPHeaderField: name) }
        native.httpBody = request.body.map { Data($0) }
        return native
    }

    fileprivate static func answer(_ response: URLResponse, _ body: [UInt8]) throws
        -> TransportResponse
    {
        guard let response = response as? HTTPURLResponse else {
            throw URLError(.badServerResponse)
        }
        var headers: [String: String] = [:]
        for (name, value) in response.allHeaderFields {
            headers["\(name)".lowercased()] = "\(value)"
        }
        return TransportResponse(status: response.statusCode, headers: headers, body: body)
    }
}

/// Passes on what URLSession reports about one task. Foundation on Linux has no `bytes(for:)`.
private final class StreamDelegate: NSObject, URLSessionDataDelegate {
    private let parts: AsyncThrowingStream<TransportPart, any Error>.Continuation

    init(_ parts: AsyncThrowingStream<TransportPart, any Error>.Continuation) {
        self.parts = parts
    }

    func urlSession(
        _ session: URLSession, dataTask: URLSessionDataTask, didReceive response: URLResponse,
        completionHandler: @escaping @Sendable (URLSession.ResponseDisposition) -> Void
    ) {
        do { parts.yield(.head(try URLSessionTransport.answer(response, []))) } catch {
            parts.finish(throwing: error)
        }
        completionHandler(.allow)
    }

    func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
        parts.yield(.bytes(Array(data)))
    }

    func urlSession(
        _ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?
    ) {
        parts.finish(throwing: error)
    }
}
