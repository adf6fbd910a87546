import AsyncHTTPClient
import Compression
import NIOCore
import NIOHTTP1
import Protos
import RPC
import Synchronization
import Testing

@testable import Gateway

/// Clients that are slow, old, or mean no good, on HTTP/1.1.
@Suite(.timeLimit(.minutes(1)))
struct HostileClientTests {
    /// What ends each request here that is to be the last: by it `exchange` comes to its end.
    private static let health = "GET /health HTTP/1.1\r\nHost: localhost\r\n"

    private static var answeringUploads: RPCRouter {
        var router = RPCRouter()
        router.on(UploadRPC.pushChanges) { _, _, _ in
            RPCReply(PushChangesReply(), body: ByteBuffer(string: "{}"))
        }
        return router
    }

    @Test(arguments: [
        health + "Connection: Close\r\n\r\n",
        health + "Connection: TE, close\r\n\r\n",
        "GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n",
    ])
    func `a client that asks for the connection's end in its own way is closed on`(
        _ request: String
    ) async throws {
        try await withGateway { gateway in
            let answer = try await RawConnection.exchange(gateway, request)
            #expect(answer.hasPrefix("HTTP/1.1 200 "))
            #expect(answer.ranges(of: "HTTP/1.1 ").count == 1)
        }
    }

    @Test(arguments: [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "Content-Length: -1\r\n\r\n",
        "Content-Length: 3, 3\r\n\r\nabc",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nXYZ\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n\r\n",
        "X-Folded: one\r\n two\r\nBad Name: x\r\n\r\n",
        "X-Long: " + String(repeating: "x", count: 200_000) + "\r\n\r\n",
    ])
    func `a request that could be read in two ways ends the connection`(_ rest: String)
        async throws
    {
        try await withGateway { gateway in
            let answer = try await RawConnection.exchange(
                gateway,
                "POST /sync/upload HTTP/1.1\r\nHost: localhost\r\n" + rest + Self.health + "\r\n")
            // One refusal or none; nothing that came after it was taken for a request.
            #expect(answer.isEmpty || answer.hasPrefix("HTTP/1.1 4"), "\(answer)")
            #expect(answer.ranges(of: "HTTP/1.1 ").count <= 1, "\(answer)")
        }
    }

    @Test(arguments: ["9223372036854775807", "9223372036854765807", "16777217"])
    func `a length that is only claimed uses nothing up`(length: String) async throws {
        try await withGateway(
            ["OVERSYNC_RATE_BYTES": "65536"], upstreams: ["upload": Self.answeringUploads]
        ) { gateway in
            let token = try await RunningGateway.token()
            let signed = "Host: localhost\r\nAuthorization: Bearer \(token)\r\n"
            for _ in 1...3 {
                let claim =
                    "GET /sync/watch HTTP/1.1\r\n\(signed)Content-Length: \(length)\r\nConnection: close\r\n\r\n"
                let upload = claim.replacing("GET /sync/watch", with: "POST /sync/upload")
                for request in [claim, upload] {
                    _ = try await RawConnection.with(gateway) { connection in
                        try await connection.outbound.write(ByteBuffer(string: request))
                        for try await part in connection.inbound { return String(buffer: part) }
                        return ""
                    }
                }
            }
            let answer = try await gateway.sendSigned(
                .POST, "/sync/upload", body: .bytes(ByteBuffer(string: "{}")))
            #expect(answer.status == 200)
        }
    }

    @Test(arguments: [false, true])
    func `a body uses up what it is, announced or not, inflated where it is compressed`(
        isCompressed: Bool
    ) async throws {
        try await withGateway(
            ["OVERSYNC_RATE_BYTES": "65536"], upstreams: ["upload": Self.answeringUploads]
        ) { gateway in
            let plain = ByteBuffer(repeating: UInt8(ascii: "["), count: 1 << 20)
            let body = isCompressed ? try #require(Gzip.deflate(plain)) : plain
            let parts = AsyncStream { stream in
                stream.yield(body)
                stream.finish()
            }
            let first = try await gateway.sendSigned(
                .POST, "/sync/upload",
                headers: isCompressed ? ["Content-Encoding": "gzip"] : [:],
                body: .stream(parts, length: .unknown))
            #expect(first.status == 200)
            let second = try await gateway.sendSigned(
                .POST, "/sync/upload", body: .bytes(ByteBuffer(string: "{}")))
            #expect(second.status == 429)
        }
    }

    @Test func `whoever waits to be asked for a body is asked for it`() async throws {
        let bodies = Mutex<[String]>([])
        var router = RPCRouter()
        router.on(UploadRPC.pushChanges) { _, body, _ in
            bodies.withLock { $0.append(String(buffer: body)) }
            return RPCReply(PushChangesReply(), body: ByteBuffer(string: "{}"))
        }
        try await withGateway(upstreams: ["upload": router]) { gateway in
            let token = try await RunningGateway.token()
            try await RawConnection.with(gateway) { connection in
                let head = """
                    POST /sync/upload HTTP/1.1\r
                    Host: localhost\r
                    Authorization: Bearer \(token)\r
                    Content-Type: application/json\r
                    Content-Length: 2\r
                    Expect: 100-continue\r
                    Connection: close\r
                    \r

                    """
                try await connection.outbound.write(ByteBuffer(string: head))
                var answer = ""
                var isSent = false
                for try await part in connection.inbound {
                    answer += String(buffer: part)
                    guard !isSent, answer.hasSuffix("\r\n\r\n") else { continue }
                    #expect(answer == "HTTP/1.1 100 Continue\r\n\r\n")
                    isSent = true
                    try await connection.outbound.write(ByteBuffer(string: "{}"))
                }
                #expect(answer.contains("\r\n\r\nHTTP/1.1 200 "))
            }
            #expect(bodies.withLock { $0 } == ["{}"])
        }
    }

    @Test func `whoever waits to be asked for a body that is refused is told so alone`()
        async throws
    {
        try await withGateway { gateway in
            let answer = try await RawConnection.exchange(
                gateway,
                """
                POST /sync/upload HTTP/1.1\r
                Host: localhost\r
                Content-Length: 2\r
                Expect: 100-continue\r
                Connection: close\r
                \r

                """)
            #expect(answer.hasPrefix("HTTP/1.1 401 "))
        }
    }

    @Test func `answers that a client does not read are not made beyond a few`() async throws {
        let asked = Atomic(0)
        let page = ByteBuffer(repeating: UInt8(ascii: "x"), count: 1 << 20)
        var router = RPCRouter()
        router.on(DownloadRPC.pullChanges) { _, _, _ in
            asked.add(1, ordering: .relaxed)
            return RPCReply(PullChangesReply(), body: page)
        }
        let unread = 60
        try await withGateway(
            [
                "OVERSYNC_RATE_REQUESTS": "0", "OVERSYNC_RATE_BYTES": "0",
            ], upstreams: ["download": router]
        ) { gateway in
            let request = """
                GET /sync/download?after=0 HTTP/1.1\r
                Host: localhost\r
                Authorization: Bearer \(try await RunningGateway.token())\r

                """
            try await RawConnection.with(gateway) { connection in
                let last = request + "Connection: close\r\n\r\n"
                let all = String(repeating: request + "\r\n", count: unread - 1) + last
                try await connection.outbound.write(ByteBuffer(string: all))
                // Until it asks no more while others are answered.
                var before = 0
                repeat {
                    before = asked.load(ordering: .relaxed)
                    for _ in 1...30 { _ = try await gateway.send(.GET, "/health") }
                } while before == 0 || asked.load(ordering: .relaxed) > before
                #expect(before < unread / 2)
                var received = 0
                for try await part in connection.inbound { received += part.readableBytes }
                #expect(received > unread << 20)
                #expect(asked.load(ordering: .relaxed) == unread)
            }
        }
    }
}
