import AsyncHTTPClient
import Compression
import NIOCore
import NIOHTTP1
import Protos
import RPC
import Testing

@testable import Gateway

/// Bodies that the gateway holds, and those for which it has no memory.
@Suite("Held bodies", .timeLimit(.minutes(1)))
struct HeldBodyTests {
    private static let share = "1048576"

    private static var answering: [String: RPCRouter] {
        var router = RPCRouter()
        router.on(UploadRPC.pushChanges) { _, _, _ in
            RPCReply(PushChangesReply(), body: ByteBuffer(string: "{}"))
        }
        return ["upload": router]
    }

    /// Runs `body` while the user announces a body of so many bytes and does not send it.
    private static func holding(
        _ bytes: Int, _ gateway: RunningGateway, _ body: () async throws -> Void
    ) async throws {
        let token = try await RunningGateway.token()
        try await RawConnection.with(gateway) { connection in
            let request = """
                POST /sync/upload HTTP/1.1\r
                Host: localhost\r
                Authorization: Bearer \(token)\r
                Content-Length: \(bytes)\r
                \r

                """
            try await connection.outbound.write(ByteBuffer(string: request))
            // Before a byte of it has come.
            try await eventually { gateway.heldBytes == bytes }
            try await body()
        }
        try await eventually { gateway.heldBytes == 0 }
    }

    private static func withClient(
        _ isHTTP2: Bool, _ gateway: RunningGateway, _ body: (HTTPClient) async throws -> Void
    ) async throws {
        let client = HTTPClient(
            eventLoopGroupProvider: .singleton,
            configuration: try RunningGateway.configuration(
                gateway.certificate, httpVersion: isHTTP2 ? .automatic : .http1Only))
        do {
            try await body(client)
        } catch {
            try await client.shutdown()
            throw error
        }
        try await client.shutdown()
    }

    @Test(
        "What a user announces counts before it comes; more of its own is refused",
        arguments: [true, false], ["application/json", "application/x-protobuf"])
    func announced(isHTTP2: Bool, type: String) async throws {
        try await withGateway(
            ["OVERSYNC_MAX_USER_BUFFER_BYTES": Self.share], upstreams: Self.answering
        ) { gateway in
            try await Self.withClient(isHTTP2, gateway) { client in
                func upload(_ user: String, _ bytes: Int) async throws -> RunningGateway.Answer {
                    let token = try await RunningGateway.token(user: user)
                    return try await gateway.send(
                        .POST, "/sync/upload",
                        headers: ["Authorization": "Bearer \(token)", "Content-Type": type],
                        body: .bytes(ByteBuffer(repeating: 32, count: bytes)), client: client)
                }
                try await Self.holding(900_000, gateway) {
                    let refused = try await upload("user-1", 200_000)
                    #expect(refused.status == 429 && refused.text("error") == "share_used_up")
                    #expect(refused.headers.contains(name: "Retry-After"))
                    #expect(try await upload("user-2", 200_000).status == 200)
                }
                #expect(try await upload("user-1", 200_000).status == 200)
            }
        }
    }

    @Test(
        "A body of unknown length is refused where it grows beyond the share",
        arguments: [true, false])
    func growing(isHTTP2: Bool) async throws {
        try await withGateway(
            ["OVERSYNC_MAX_USER_BUFFER_BYTES": Self.share], upstreams: Self.answering
        ) { gateway in
            try await Self.withClient(isHTTP2, gateway) { client in
                func upload(_ bytes: Int) async throws -> RunningGateway.Answer {
                    let parts = AsyncStream { stream in
                        for _ in 0..<(bytes / 4096) {
                            stream.yield(ByteBuffer(repeating: 32, count: 4096))
                        }
                        stream.finish()
                    }
                    return try await gateway.sendSigned(
                        .POST, "/sync/upload", body: .stream(parts, length: .unknown),
                        client: client)
                }
                try await Self.holding(400_000, gateway) {
                    #expect(try await upload(400_000).status == 200)
                    let refused = try await upload(800_000)
                    #expect(refused.status == 429 && refused.text("error") == "share_used_up")
                }
                // Alone it may be larger than the share.
                #expect(try await upload(2_000_000).status == 200)
            }
        }
    }

    @Test("A compressed body is refused where it grows beyond the share")
    func inflating() async throws {
        let packed = try #require(Gzip.deflate(ByteBuffer(repeating: 32, count: 4 << 20)))
        try await withGateway(
            ["OVERSYNC_MAX_USER_BUFFER_BYTES": Self.share], upstreams: Self.answering
        ) { gateway in
            func upload() async throws -> RunningGateway.Answer {
                try await gateway.sendSigned(
                    .POST, "/sync/upload", headers: ["Content-Encoding": "gzip"],
                    body: .bytes(packed))
            }
            try await Self.holding(400_000, gateway) {
                let refused = try await upload()
                #expect(refused.status == 429 && refused.text("error") == "share_used_up")
            }
            #expect(try await upload().status == 200)
        }
    }

    @Test("After a refusal the connection goes on with the next request")
    func connectionGoesOn() async throws {
        try await withGateway(
            ["OVERSYNC_MAX_USER_BUFFER_BYTES": Self.share], upstreams: Self.answering
        ) { gateway in
            let token = try await RunningGateway.token()
            try await Self.holding(900_000, gateway) {
                let upload = """
                    POST /sync/upload HTTP/1.1\r
                    Host: localhost\r
                    Authorization: Bearer \(token)\r
                    Content-Length: 200000\r
                    \r

                    """
                let answer = try await RawConnection.exchange(
                    gateway,
                    upload + String(repeating: "x", count: 200_000)
                        + RawConnection.get("/health", token: token, "Connection: close\r\n"))
                #expect(answer.hasPrefix("HTTP/1.1 429 "))
                #expect(answer.contains("HTTP/1.1 200 "))
            }
        }
    }
}
