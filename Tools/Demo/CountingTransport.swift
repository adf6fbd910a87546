import AsyncHTTPClient
import DevStack
import Foundation
import OverSQLite
import OverSQLiteAsyncHTTP
import Synchronization

/// A transport with a count of what goes over the wire.
final class CountingTransport: HTTPTransport {
    /// What went over the wire since the last look.
    struct Traffic: Sendable {
        var requests = 0
        var bytesOut = 0
        var bytesIn = 0
        var rowsSent = 0
        var rowsReceived = 0
    }

    private let inner: AsyncHTTPTransport
    private let traffic = Mutex(Traffic())

    /// - Parameter authority: path of the certificate authority to trust; nil trusts those of the system.
    init(trusting authority: String?) throws {
        if let authority {
            inner = try AsyncHTTPTransport(trusting: authority)
        } else {
            inner = AsyncHTTPTransport(client: HTTPClient(eventLoopGroupProvider: .singleton))
        }
    }

    // A client that nobody shut down must not go.
    deinit { Task { [inner] in try? await inner.shutdown() } }

    func shutdown() async throws { try await inner.shutdown() }

    /// What was counted so far.
    var total: Traffic { traffic.withLock { $0 } }

    var canStream: Bool { inner.canStream }

    func stream(
        _ request: TransportRequest,
        _ receive: @escaping @Sendable (TransportPart) async throws -> Void
    ) async throws {
        traffic.withLock { $0.requests += 1 }
        try await inner.stream(request, receive)
    }

    func send(_ request: TransportRequest) async throws -> TransportResponse {
        let response = try await inner.send(request)
        let sent =
            request.method == "POST" ? Self.count("\"source_change_id\":", request.body ?? []) : 0
        let received = request.method == "GET" ? Self.count("\"server_id\":", response.body) : 0
        traffic.withLock { traffic in
            traffic.requests += 1
            traffic.bytesOut += request.body?.count ?? 0
            traffic.bytesIn += response.body.count
            if response.status == 200 {
                traffic.rowsSent += sent
                traffic.rowsReceived += received
            }
        }
        return response
    }

    /// Largest body once it is inflated, in bytes.
    private static let maximumBody = 256 << 20

    private static func count(_ text: StaticString, _ body: [UInt8]) -> Int {
        let bytes = Gzip.inflate(body, limit: maximumBody) ?? body
        return bytes.withUnsafeBytes { occurrences(of: text, in: $0) }
    }
}

extension CountingTransport.Traffic {
    static func - (a: Self, b: Self) -> Self {
        Self(
            requests: a.requests - b.requests, bytesOut: a.bytesOut - b.bytesOut,
            bytesIn: a.bytesIn - b.bytesIn,
            rowsSent: a.rowsSent - b.rowsSent, rowsReceived: a.rowsReceived - b.rowsReceived)
    }
}
