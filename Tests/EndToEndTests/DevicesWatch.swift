import Foundation
import GRDB
import OperatorKit
import OverSQLite
import OverSQLiteAsyncHTTP
import Synchronization
import Testing

@Suite("Devices watch", .timeLimit(.minutes(2)))
struct DevicesWatch {
    /// ```
    /// laptop  watch ════════════════════ change ── download ══════════════════
    /// phone   watch ═══ writes ─ upload (gzip) ─ download past it ════════════
    /// ```
    @Test("a device with the stream open hears of another's rows at once, and asks nothing else")
    func news() async throws {
        try await withStack { stack in
            let transport = RecordingTransport(
                try AsyncHTTPTransport(trusting: stack.authority))
            let other = RecordingTransport(try AsyncHTTPTransport(trusting: stack.authority))
            let phone = try await WatchingDevice("phone", stack, other)
            let laptop = try await WatchingDevice("laptop", stack, transport)
            try await phone.engine.start()
            try await laptop.engine.start()
            await transport.watched()
            await other.watched()

            let text = String(repeating: "a long name, ", count: 3000)
            let write = try await phone.engine.write { db in
                for number in 1...20 {
                    try db.execute(
                        sql: "INSERT INTO users VALUES (?, ?)",
                        arguments: [UUID().uuidString, "\(number) \(text)"])
                }
            }
            try await write.confirmed()
            try await laptop.rows(are: 20)

            await phone.engine.stop()
            await laptop.engine.stop()
            let requests = transport.requests
            #expect(!requests.contains { $0.query.contains("wait=") }, "\(requests)")
            let watches = requests.filter { $0.path == "/sync/watch" }
            #expect(watches.count == 1, "\(requests)")
            let sent = other.requests.filter { $0.path == "/sync/upload" }
            #expect(sent.map(\.encoding) == ["gzip"])
            #expect(sent.allSatisfy { $0.bytes < text.utf8.count })
            try await transport.shutdown()
            try await other.shutdown()
        }
    }
}

/// An app's device with a table of users.
private struct WatchingDevice {
    let database: DatabaseQueue
    let engine: SyncEngine

    init(_ name: String, _ stack: StackAddress, _ transport: RecordingTransport) async throws {
        database = try DatabaseQueue()
        engine = try await stack.engineOfUsers(for: database, device: name, transport)
    }

    func rows(are wanted: Int) async throws {
        let counts = ValueObservation.tracking {
            try Int.fetchOne($0, sql: "SELECT count(*) FROM users") ?? 0
        }
        for try await count in counts.values(in: database) where count == wanted { break }
    }
}

/// A transport that notes what it carries.
private final class RecordingTransport: HTTPTransport {
    struct Request {
        let path: String
        let query: String
        let encoding: String
        let bytes: Int
    }

    private let inner: AsyncHTTPTransport
    private let noted = Mutex<[Request]>([])
    private let opened = AsyncStream.makeStream(of: Void.self)

    init(_ inner: AsyncHTTPTransport) { self.inner = inner }

    var requests: [Request] { noted.withLock { $0 } }

    /// Returns when a stream has begun.
    func watched() async {
        for await _ in opened.stream { break }
    }

    func shutdown() async throws { try await inner.shutdown() }

    func send(_ request: TransportRequest) async throws -> TransportResponse {
        note(request)
        return try await inner.send(request)
    }

    var canStream: Bool { true }

    func stream(
        _ request: TransportRequest,
        _ receive: @escaping @Sendable (TransportPart) async throws -> Void
    ) async throws {
        note(request)
        let opened = opened.continuation
        try await inner.stream(request) { part in
            try await receive(part)
            if case .head(let head) = part, head.status == 200 { opened.yield() }
        }
    }

    private func note(_ request: TransportRequest) {
        noted.withLock {
            $0.append(
                Request(
                    path: request.url.path, query: request.url.query ?? "",
                    encoding: request.headers["Content-Encoding"] ?? "identity",
                    bytes: request.body?.count ?? 0))
        }
    }
}
