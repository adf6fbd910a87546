import NIOCore
import Protos
import RPC
import Synchronization
import Testing

@testable import Gateway

/// HTTP/1.1 as the gateway speaks it, byte for byte.
@Suite(.timeLimit(.minutes(1)))
struct HTTP1Tests {
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
            let answer = try await RawConnection.exchange(gateway, requests)
            let pages = answer.split(separator: "\n").map { $0.suffix("page after 1".count) }
            #expect(pages == (1...5).map { "page after \($0)" })
            #expect(answer.ranges(of: "HTTP/1.1 200 OK").count == 5)
            #expect(answer.lowercased().contains("\r\ndate: "))
        }
    }

    @Test func `what is no HTTP is a bad request and the end of the connection`() async throws {
        try await withGateway { gateway in
            let answer = try await RawConnection.exchange(gateway, "NO HTTP AT ALL\r\n\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 400 "))
        }
    }

    @Test(arguments: [
        "GET /health HTTP/1.1\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        "GET /health HTTP/1.1\r\nhost: a\r\nHOST: b\r\nConnection: close\r\n\r\n",
        "POST /sync/upload HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
    ])
    func `a request that does not name one host is a bad request and the end of the connection`(
        request: String
    ) async throws {
        try await withGateway { gateway in
            let answer = try await RawConnection.exchange(gateway, request)
            #expect(answer.hasPrefix("HTTP/1.1 400 "))
            #expect(answer.ranges(of: "HTTP/1.1").count == 1)
        }
    }

    @Test func `a good request behind a refused one is not carried out`() async throws {
        let calls = Atomic(0)
        var router = RPCRouter()
        router.on(DownloadRPC.pullChanges) { _, _, _ in
            calls.add(1, ordering: .relaxed)
            return RPCReply(PullChangesReply(), body: ByteBuffer(string: "page\n"))
        }
        try await withGateway(upstreams: ["download": router]) { gateway in
            let answer = try await RawConnection.exchange(
                gateway, "GET /health HTTP/1.1\r\n\r\n" + Self.get(1))
            #expect(answer.hasPrefix("HTTP/1.1 400 "))
            #expect(answer.ranges(of: "HTTP/1.1").count == 1)
            // The connection that was opened later is served, so all of the first was read.
            let page = try await RawConnection.exchange(
                gateway, Self.get(2, "Connection: close\r\n"))
            #expect(page.hasPrefix("HTTP/1.1 200 "))
        }
        #expect(calls.load(ordering: .relaxed) == 1)
    }

    @Test func `HTTP 1.0 names no host and is answered`() async throws {
        try await withGateway { gateway in
            let answer = try await RawConnection.exchange(gateway, "GET /health HTTP/1.0\r\n\r\n")
            #expect(answer.contains(" 200 OK"))
        }
    }

    @Test(arguments: ["/health", "/sync/download?after=0", "/nowhere", "/sync/download?after=x"])
    func `no answer is kept on the way, taken for something else, or asked for without TLS`(
        path: String
    ) async throws {
        try await withGateway(upstreams: ["download": Self.echo()]) { gateway in
            let token = try await RunningGateway.token()
            let answer = try await RawConnection.exchange(
                gateway, RawConnection.get(path, token: token, "Connection: close\r\n"))
            let lines = answer.lowercased().split(separator: "\r\n")
            for line in [
                "cache-control: no-store", "x-content-type-options: nosniff",
                "strict-transport-security: max-age=31536000",
            ] { #expect(lines.filter { $0 == line }.count == 1, "\(line)") }
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
            let answer = try await RawConnection.exchange(
                gateway, upload + body + Self.get(7, "Connection: close\r\n"))
            #expect(answer.hasPrefix("HTTP/1.1 413 "))
            #expect(answer.contains("page after 7\n"))
        }
    }
}
