public import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import NIOSSL
public import OverSQLite

/// A transport over AsyncHTTPClient, for apps on Linux.
///
/// Foundation's URLSession on Linux trusts the system's certificate authorities and no others; this
/// one can be told to trust a development or company authority, and speaks HTTP/2.
public final class AsyncHTTPTransport: HTTPTransport {
    /// Largest answer that is read, in bytes: far above any page of a well configured gateway.
    public static let maximumAnswerBytes = 64 << 20

    private let client: HTTPClient
    private let timeout: TimeAmount
    /// Whether the client was made here, and so is to be shut down here.
    private let ownsClient: Bool

    /// - Parameters:
    ///   - client: shut down by whoever made it.
    ///   - timeout: seconds for one request and its answer; longer than the long poll
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
        // The client outlives this for as long as it takes; one that goes without is a mistake to
        // AsyncHTTPClient.
        if ownsClient { Task { [client] in try? await client.shutdown() } }
    }

    /// A transport that trusts the authority in a PEM file, and no other.
    ///
    /// - Throws: a `TransportFailure` that names the file if there is no certificate in it.
    public convenience init(trusting authorityPath: String, timeout: Int64 = 90) throws {
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.trustRoots = .certificates(try Self.certificates(in: authorityPath))
        var configuration = HTTPClient.Configuration(tlsConfiguration: tls)
        // The engine tries again itself; until then the app should know that it is offline.
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

    /// Ends the connections and returns when they have ended. A transport that made its client
    /// itself does so too when nobody holds it any more, so that an app need not call this.
    ///
    /// - Throws: an error of the client's, as when it was shut down before.
    public func shutdown() async throws { try await client.shutdown() }

    /// Sends a request and collects the answer.
    ///
    /// - Throws: the client's error if there is no answer; a `TransportFailure` around it where the
    ///   address or the certificate is likely to be the cause.
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

    /// True.
    public var canStream: Bool { true }

    /// Sends a request and hands on the answer as it comes.
    ///
    /// - Throws: the client's error if the answer breaks off, `CancellationError`, or what
    ///   `receive` threw.
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
