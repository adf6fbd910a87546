import NIOCore
import NIOPosix
import NIOSSL
import Protos
import RPC
import Synchronization
import Testing

@testable import Gateway

/// HTTP/1.1 as the gateway speaks it, byte for byte.
@Suite(.timeLimit(.minutes(1)))
struct HTTP1Tests {
    /// Sends bytes over TLS and reads until the gateway closes.
    private static func exchange(_ gateway: RunningGateway, _ text: String) async throws -> String {
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.trustRoots = .file(gateway.certificate)
        let context = try NIOSSLContext(configuration: tls)
        let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .connect(host: "localhost", port: gateway.port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = try NIOSSLClientHandler(
                        context: context, serverHostname: "localhost")
                    try channel.pipeline.syncOperations.addHandler(handler)
                    return try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
                        wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            try await outbound.write(ByteBuffer(string: text))
            var answer = ""
            for try await part in inbound { answer += String(buffer: part) }
            return answer
        }
    }

    /// A Download that answers with the cursor it was asked for.
    private static func echo() -> RPCRouter {
        var router = RPCRouter()
        router.on(DownloadRPC.pullChanges) { request, _, _ in
            RPCReply(PullChangesReply(), body: ByteBuffer(string: "page after \(request.after)\n"))
        }
        return router
    }

    private static func get(_ after: Int, _ headers: String = "") async throws -> String {
        """
        GET /sync/download?after=\(after) HTTP/1.1\r
        Host: localhost\r
        Authorization: Bearer \(try await RunningGateway.token())\r
        \(headers)\r

        """
    }

    @Test func `requests sent at once are answered one after the other, and close is heeded`()
        async throws
    {
        try await withGateway(upstreams: ["download": Self.echo()]) { gateway in
            var requests = ""
            for after in 1...4 { requests += try await Self.get(after) }
            requests += try await Self.get(5, "Connection: close\r\n")
            let answer = try await Self.exchange(gateway, requests)
            let pages = answer.split(separator: "\n").map { $0.suffix("page after 1".count) }
            #expect(pages == (1...5).map { "page after \($0)" })
            #expect(answer.ranges(of: "HTTP/1.1 200 OK").count == 5)
            #expect(answer.lowercased().contains("\r\ndate: "))
        }
    }

    @Test func `what is no HTTP is a bad request and the end of the connection`() async throws {
        try await withGateway { gateway in
            let answer = try await Self.exchange(gateway, "NO HTTP AT ALL\r\n\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 400 "))
        }
    }

    @Test func `a body over the limit is refused before it is sent, and the connection goes on`()
        async throws
    {
        try await withGateway(
            ["OVERSYNC_MAX_BODY_BYTES": "1024"], upstreams: ["download": Self.echo()]
        ) { gateway in
            let token = try await RunningGateway.token()
            let upload = """
                POST /sync/upload HTTP/1.1\r
                Host: localhost\r
                Authorization: Bearer \(token)\r
                Content-Length: 200000\r
                \r

                """
            let body = String(repeating: "x", count: 200_000)
            let answer = try await Self.exchange(
                gateway, upload + body + Self.get(7, "Connection: close\r\n"))
            #expect(answer.hasPrefix("HTTP/1.1 413 "))
            #expect(answer.contains("page after 7\n"))
        }
    }
}
