import AsyncHTTPClient
import Foundation
import NIOCore
import NIOPosix
import OverSQLiteAsyncHTTP
import Synchronization
import Testing

@testable import OverSQLite

/// What the transports do with answers that come bit by bit, and with compressed ones, over real sockets.
@Suite("Transports stream", .timeLimit(.minutes(1)))
struct TransportsStream {
    enum Kind: CaseIterable {
        case urlSession, asyncHTTP
    }

    private static func with(
        _ kind: Kind,
        _ body: @escaping @Sendable (any HTTPTransport, PlainServer, URL) async throws -> Void
    ) async throws {
        try await PlainServer.run { server, port in
            let url = try #require(URL(string: "http://127.0.0.1:\(port)"))
            switch kind {
            case .urlSession: try await body(URLSessionTransport(), server, url)
            case .asyncHTTP:
                let transport = AsyncHTTPTransport(client: HTTPClient())
                try await body(transport, server, url)
                try await transport.shutdown()
            }
        }
    }

    @Test("each part is handed on when it comes, and the end is the end", arguments: Kind.allCases)
    func parts(_ kind: Kind) async throws {
        try await Self.with(kind) { transport, server, url in
            #expect(transport.canStream)
            let request = TransportRequest(method: "GET", url: url.appending(path: "stream"))
            let heard = Mutex("")
            try await transport.stream(request) { part in
                switch part {
                case .head(let head):
                    #expect(head.status == 200)
                    #expect(head.headers["content-type"] == "text/event-stream")
                    server.send("one")
                case .bytes(let bytes):
                    let text = heard.withLock { heard in
                        heard += String(decoding: bytes, as: UTF8.self)
                        return heard
                    }
                    // The next part is not sent before this one has come.
                    if text == "one" { server.send("two") }
                    if text == "onetwo" { server.end() }
                }
            }
            #expect(heard.withLock { $0 } == "onetwo")
        }
    }

    @Test("a connection that breaks is an error", arguments: Kind.allCases)
    func breaks(_ kind: Kind) async throws {
        try await Self.with(kind) { transport, server, url in
            let request = TransportRequest(method: "GET", url: url.appending(path: "stream"))
            await #expect(throws: (any Error).self) {
                try await transport.stream(request) { part in
                    if case .head = part { server.cut() }
                }
            }
        }
    }

    @Test(
        "a cancelled task ends the stream, and a receiver that throws does",
        arguments: Kind.allCases)
    func ends(_ kind: Kind) async throws {
        struct Enough: Error {}
        try await Self.with(kind) { transport, _, url in
            let request = TransportRequest(method: "GET", url: url.appending(path: "stream"))
            let (begun, begin) = AsyncStream.makeStream(of: Void.self)
            let task = Task {
                try await transport.stream(request) { _ in begin.yield() }
            }
            for await _ in begun { break }
            task.cancel()
            await #expect(throws: (any Error).self) { try await task.value }
            await #expect(throws: Enough.self) {
                try await transport.stream(request) { _ in throw Enough() }
            }
        }
    }

    @Test("an answer in gzip is read, whoever decompresses it", arguments: Kind.allCases)
    func gzip(_ kind: Kind) async throws {
        try await Self.with(kind) { transport, server, url in
            let client = GatewayClient(
                base: url, schema: "business", transport: transport, epoch: { nil },
                credentials: { "token" }, identify: { _ in })
            let standing = try await client.bootstrap()
            #expect(standing?.epoch == PlainServer.epoch)
            #expect(server.lastRequest.lowercased().contains("accept-encoding: gzip"))
        }
    }
}

/// A server of HTTP/1.1 by hand: a stream that the test feeds, and one compressed answer.
private final class PlainServer: Sendable {
    static let epoch = "6a1f0c9e-3b52-4f5e-9a64-0d2c8e7b1f33"

    private typealias Connection = NIOAsyncChannel<ByteBuffer, ByteBuffer>
    private enum Order: Sendable { case send(String), end, cut }

    private let orders = AsyncStream.makeStream(of: Order.self)
    private let request = Mutex("")

    var lastRequest: String { request.withLock { $0 } }

    func send(_ text: String) { orders.continuation.yield(.send(text)) }
    func end() { orders.continuation.yield(.end) }
    func cut() { orders.continuation.yield(.cut) }

    static func run(
        _ body: @escaping @Sendable (PlainServer, _ port: Int) async throws -> Void
    ) async throws {
        let listener = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .bind(host: "127.0.0.1", port: 0) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try Connection(wrappingChannelSynchronously: channel)
                }
            }
        let port = try #require(listener.channel.localAddress?.port)
        let server = PlainServer()
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                try await listener.executeThenClose { connections in
                    try await withThrowingDiscardingTaskGroup { serving in
                        for try await connection in connections {
                            serving.addTask { try? await server.serve(connection) }
                        }
                    }
                }
            }
            tasks.addTask { try await body(server, port) }
            // The listener never ends by itself: the first end is that of the body.
            try await tasks.next()
            tasks.cancelAll()
        }
    }

    private func serve(_ connection: Connection) async throws {
        try await connection.executeThenClose { fromClient, toClient in
            var text = ""
            for try await bytes in fromClient {
                text += String(buffer: bytes)
                guard text.contains("\r\n\r\n") else { continue }
                let asked = text
                request.withLock { $0 = asked }
                if asked.hasPrefix("GET /stream") {
                    return try await stream(toClient, connection.channel)
                }
                try await toClient.write(try Self.compressed())
                text = ""
            }
        }
    }

    private static func compressed() throws -> ByteBuffer {
        let json = """
            {"known_source":false,"next_change_id":1,"highest_server_seq":0,"floor":0,"epoch":"\(epoch)"}
            """
        let body = try #require(Gzip.deflate(Array(json.utf8)))
        var bytes = ByteBuffer(
            string: "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                + "Content-Encoding: gzip\r\nContent-Length: \(body.count)\r\n\r\n")
        bytes.writeBytes(body)
        return bytes
    }

    private func stream(
        _ client: NIOAsyncChannelOutboundWriter<ByteBuffer>, _ channel: any Channel
    ) async throws {
        try await client.write(
            ByteBuffer(
                string: "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                    + "Transfer-Encoding: chunked\r\n\r\n"))
        for await order in orders.stream {
            switch order {
            case .send(let text):
                let size = String(text.utf8.count, radix: 16)
                try await client.write(ByteBuffer(string: "\(size)\r\n\(text)\r\n"))
            case .end: return try await client.write(ByteBuffer(string: "0\r\n\r\n"))
            // Said to the client: a process that other tests start may hold the socket open, too.
            case .cut: return try await channel.close(mode: .output)
            }
        }
    }
}
