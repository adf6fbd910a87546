public import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import NIOSSL
public import OverSQLite

/// A transport based on AsyncHTTPClient, for apps on Linux.
///
/// Foundation's URLSession on Linux trusts only the system's certificate authorities. This
/// transport can trust a development or company authority, and it speaks HTTP/2.
public final class AsyncHTTPTransport: HTTPTransport {
    /// The maximum size of a response, in bytes; much larger than any page of a well-configured
    /// gateway.
    public static let maximumAnswerBytes = 64 << 20

    private let client: HTTPClient
    private let timeout: TimeAmount
    /// Whether this transport made the client and so must shut it down.
    private let ownsClient: Bool

    /// Makes a transport with the app's client.
    ///
    /// - Parameters:
    ///   - client: the HTTP client. The caller shuts it down.
    ///   - timeout: seconds for a request and its response. It must be longer than the long poll
    ///     (`SyncConfiguration.longPoll`).
    public convenience init(client: HTTPClient, timeout: Int64 = 90) {
        self.init(client: client, timeout: timeout, ownsClient: false)
    }

    private init(client: HTTPClient, timeout: Int64, ownsClient: Bool) {
        self.client = client
        self.timeout = .seconds(timeout)
        self.ownsClient = ownsClient
    }

    deinit {
        // The task keeps the client alive until it has shut down; AsyncHTTPClient requires a
        // shutdown.
        if ownsClient { Task { [client] in try? await client.shutdown() } }
    }

    /// Makes a transport that trusts only the authority in a PEM file.
    ///
    /// - Parameters:
    ///   - authorityPath: the path of the PEM file with the authority's certificate.
    ///   - timeout: seconds for a request and its response. It must be longer than the long poll
    ///     (`SyncConfiguration.longPoll`).
    /// - Throws: a `TransportFailure` that names the file, if the file does not exist or holds no
    ///   certificate.
    public convenience init(trusting authorityPath: String, timeout: Int64 = 90) throws {
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.trustRoots = .certificates(try Self.certificates(in: authorityPath))
        var configuration = HTTPClient.Configuration(tlsConfiguration: tls)
        // The engine retries by itself, and until then the app should learn that it is offline.
        configuration.connectionPool.retryConnectionEstablishment = false
        self.init(
            client: HTTPClient(configuration: configuration), timeout: timeout, ownsClient: true)
    }

    private static func certificates(in path: String) throws -> [NIOSSLCertificate] {
        do { return try NIOSSLCertificate.fromPEMFile(path) } catch {
            let what =
                FileManager.default.fileExists(atPath: path)
                ? "holds no certificate in PEM format (-----BEGIN CERTIFICATE-----)"
                : "does not exist"
            throw TransportFailure(
                error, hint: "\(path), the authority to trust, \(what)")
        }
    }

    /// Closes the connections and returns when they are closed. You need not call this for a
    /// transport that made its own client: it shuts the client down when it is deallocated.
    ///
    /// - Throws: the client's error, for example if it was already shut down.
    public func shutdown() async throws { try await client.shutdown() }

    /// Sends a request and returns the complete response.
    ///
    /// - Throws: the client's error if there is no response, wrapped in a `TransportFailure` if the
    ///   address or the certificate is the probable cause.
    public func send(_ request: TransportRequest) async throws -> TransportResponse {
        let response: HTTPClientResponse
        do {
            response = try await client.execute(Self.native(request), timeout: timeout)
        } catch {
            guard let hint = Self.hint(about: error, at: request.url) else { throw error }
            throw TransportFailure(error, hint: hint)
        }
        let body = try await response.body.collect(upTo: Self.maximumAnswerBytes)
        return Self.answer(response, Array(body.readableBytesView))
    }

    /// Always true.
    public var canStream: Bool { true }

    /// Sends a request and passes on the response as it arrives.
    ///
    /// - Throws: the client's error if the connection breaks, `CancellationError` if the task is
    ///   cancelled, or what `receive` threw.
    public func stream(
        _ request: TransportRequest,
        _ receive: @escaping @Sendable (TransportPart) async throws -> Void
    ) async throws {
        let response = try await client.execute(Self.native(request), deadline: .distantFuture)
        try await receive(.head(Self.answer(response, [])))
        for try await part in response.body {
            try await receive(.bytes(Array(part.readableBytesView)))
        }
    }

    private static func native(_ request: TransportRequest) -> HTTPClientRequest {
        var native = HTTPClientRequest(url: request.url.absoluteString)
        native.method = HTTPMethod(rawValue: request.method)
        for (name, value) in request.headers { native.headers.add(name: name, value: value) }
        if let body = request.body { native.body = .bytes(ByteBuffer(bytes: body)) }
        return native
    }

    private static func answer(_ response: HTTPClientResponse, _ body: [UInt8])
        -> TransportResponse
    {
        var headers: [String: String] = [:]
        for (name, value) in response.headers { headers[name.lowercased()] = value }
        return TransportResponse(
            status: Int(response.status.code), headers: headers, body: body)
    }
}
