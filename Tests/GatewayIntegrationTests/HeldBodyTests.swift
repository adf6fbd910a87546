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

    private static func head(_ token: String, length: Int) -> String {
        """
        POST /sync/upload HTTP/1.1\r
        Host: localhost\r
        Authorization: Bearer \(token)\r
        Content-Length: \(length)\r
        \r

        """
    }

    /// Runs `body` while the user has sent this many bytes of a body, but for the last one.
    private static func holding(
        _ bytes: Int, _ gateway: RunningGateway, _ body: () async throws -> Void
    ) async throws {
        let token = try await RunningGateway.token()
        try await RawConnection.with(gateway) { connection in
            var request = ByteBuffer(string: head(token, length: bytes))
            request.writeRepeatingByte(32, count: bytes - 1)
            try await connection.outbound.write(request)
            // Never more than what has come and a step.
            try await eventually { gateway.heldBytes >= bytes - 1 }
            #expect(gateway.heldBytes <= bytes)
            try await body()
        }
        try await eventually { gateway.heldBytes == 0 }
    }

    @Test("Bodies that are announced and do not come keep nobody out")
    func announcedOnly() async throws {
        try await withGateway(
            [
                "OVERSYNC_MAX_BUFFER_BYTES": "67108864",
                "OVERSYNC_MAX_USER_BUFFER_BYTES": "33554432",
            ],
            upstreams: Self.answering
        ) { gateway in
            let length = 16 << 20
            var requests: [String] = []
            for user in 1...4 {
                let token = try await RunningGateway.token(user: "greedy-\(user)")
                requests.append(Self.head(token, length: length))
            }
            try await Self.withOpen(4, gateway) { connections in
                for (connection, request) in zip(connections, requests) {
                    try await connection.outbound.write(ByteBuffer(string: request))
                }
                try await eventually { gateway.requestsInFlight == 4 }
                #expect(gateway.heldBytes == 0)
                let answer = try await gateway.sendSigned(
                    .POST, "/sync/upload", body: .bytes(ByteBuffer(repeating: 32, count: length)))
                #expect(answer.status == 200)
            }
        }
    }

    /// The number of connections at once.
    private static func withOpen(
        _ count: Int, _ gateway: RunningGateway, _ open: [RawConnection] = [],
        _ body: ([RawConnection]) async throws -> Void
    ) async throws {
        guard open.count < count else { return try await body(open) }
        try await RawConnection.with(gateway) { connection in
            try await withOpen(count, gateway, open + [connection], body)
        }
    }

    @Test(
        "What a user has sent counts before it is whole; more of its own is refused",
        arguments: [true, false], ["application/json", "application/x-protobuf"])
    func announced(isHTTP2: Bool, type: String) async throws {
        try await withGateway(
            ["OVERSYNC_MAX_USER_BUFFER_BYTES": Self.share], upstreams: Self.answering
        ) { gateway in
            try await gateway.withClient(isHTTP2: isHTTP2) { client in
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

    @Test("A body of unknown length holds no more than its bytes once it is whole")
    func complete() async throws {
        let (asked, answer) = (Signal(), Signal())
        var router = RPCRouter()
        router.on(UploadRPC.pushChanges) { _, _, _ in
            asked.fire()
            await answer.wait()
            return RPCReply(PushChangesReply(), body: ByteBuffer(string: "{}"))
        }
        try await withGateway(upstreams: ["upload": router]) { gateway in
            let parts = AsyncStream { stream in
                for _ in 1...100 { stream.yield(ByteBuffer(repeating: 32, count: 4096)) }
                stream.finish()
            }
            async let upload = gateway.sendSigned(
                .POST, "/sync/upload", body: .stream(parts, length: .unknown))
            await asked.wait()
            #expect(gateway.heldBytes == 100 * 4096)
            answer.fire()
            let answered = try await upload
            #expect(answered.status == 200)
        }
    }

    @Test(
        "A body of unknown length is refused where it grows beyond the share",
        arguments: [true, false])
    func growing(isHTTP2: Bool) async throws {
        try await withGateway(
            ["OVERSYNC_MAX_USER_BUFFER_BYTES": Self.share], upstreams: Self.answering
        ) { gateway in
            try await gateway.withClient(isHTTP2: isHTTP2) { client in
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
                let upload = Self.head(token, length: 200_000)
                let answer = try await RawConnection.exchange(
                    gateway,
                    upload + String(repeating: "x", count: 200_000)
                        + RawConnection.get("/health", token: token, "Connection: close\r\n"))
                #expect(answer.hasPrefix("HTTP/1.1 429 "))
                #expect(answer.contains("HTTP/1.1 200 "))
            }
        }
    }

    @Test("An upload that was written is answered, however little its user may hold then")
    func answered() async throws {
        var router = RPCRouter()
        let reply = ByteBuffer(repeating: 32, count: 2 << 20)
        router.on(UploadRPC.pushChanges) { _, _, _ in RPCReply(PushChangesReply(), body: reply) }
        try await withGateway(
            ["OVERSYNC_MAX_USER_BUFFER_BYTES": Self.share], upstreams: ["upload": router]
        ) { gateway in
            try await Self.holding(400_000, gateway) {
                let answer = try await gateway.sendSigned(
                    .POST, "/sync/upload", body: .bytes(ByteBuffer(repeating: 32, count: 2000)))
                #expect(answer.status == 200 && answer.body.utf8.count == 2 << 20)
            }
        }
    }
}
