import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import Protos
import RPC
import SwiftProtobuf
import Synchronization
import Testing

@testable import Gateway

/// Answers that their clients leave unread.
@Suite("Unread answers", .timeLimit(.minutes(1)))
struct UnreadAnswerTests {
    private static let largePage = 15 << 20

    /// A Download whose pages are so large; counts those that it is asked for.
    private static func pages(_ bytes: Int, asked: Asked = Asked()) -> RPCRouter {
        let page = ByteBuffer(repeating: UInt8(ascii: "x"), count: bytes)
        var router = RPCRouter()
        router.on(DownloadRPC.pullChanges) { _, _, _ in
            asked.add()
            return RPCReply(PullChangesReply(), body: page)
        }
        return router
    }

    private final class Asked: Sendable {
        private let number = Atomic(0)

        var count: Int { number.load(ordering: .relaxed) }
        func add() { number.add(1, ordering: .relaxed) }
    }

    @Test("A user that reads nothing uses up its share; no more is asked for, others are served")
    func share() async throws {
        let asked = Asked()
        try await withGateway(
            ["OVERSYNC_MAX_USER_BUFFER_BYTES": "4194304"],
            upstreams: ["download": Self.pages(1 << 20, asked: asked)]
        ) { gateway in
            let token = try await RunningGateway.token()
            try await RawConnection.with(gateway, alpn: "h2") { connection in
                try await connection.outbound.write(HTTP2Bytes.preface(window: 0))
                for turn in 1...3 {
                    // Half of the share, 2 MiB, must be free for each answer.
                    try await connection.outbound.write(
                        HTTP2Bytes.get(
                            "/sync/download", token: token, stream: UInt32(2 * turn - 1)))
                    try await eventually { gateway.heldBytes == turn << 20 }
                }
                for accept in ["application/json", "application/x-protobuf"] {
                    let refused = try await gateway.sendSigned(
                        .GET, "/sync/download", headers: ["Accept": accept])
                    #expect(refused.status == 429 && refused.text("error") == "share_used_up")
                    #expect(refused.headers.contains(name: "Retry-After"))
                }
                #expect(asked.count == 3)
                #expect(gateway.refusals("share_used_up") == 2)
                let other = try await RunningGateway.token(user: "user-2")
                let served = try await gateway.send(
                    .GET, "/sync/download", headers: ["Authorization": "Bearer \(other)"])
                #expect(served.status == 200 && served.body.utf8.count == 1 << 20)
            }
            try await eventually { gateway.heldBytes == 0 }
            #expect(try await gateway.sendSigned(.GET, "/sync/download").status == 200)
        }
    }

    @Test("All users together are refused by the total")
    func total() async throws {
        try await withGateway(
            [
                "OVERSYNC_MAX_BUFFER_BYTES": "4194304", "OVERSYNC_MAX_USER_BUFFER_BYTES": "4194304",
            ], upstreams: ["download": Self.pages(3 << 20)]
        ) { gateway in
            let token = try await RunningGateway.token()
            try await RawConnection.with(gateway, alpn: "h2") { connection in
                try await connection.outbound.write(HTTP2Bytes.preface(window: 0))
                try await connection.outbound.write(
                    HTTP2Bytes.get("/sync/download", token: token, stream: 1))
                try await eventually { gateway.heldBytes == 3 << 20 }
                let other = try await RunningGateway.token(user: "user-2")
                let refused = try await gateway.send(
                    .GET, "/sync/download", headers: ["Authorization": "Bearer \(other)"])
                #expect(refused.status == 503 && refused.text("error") == "overloaded")
                #expect(refused.headers.contains(name: "Retry-After"))
            }
        }
    }

    @Test("A page that turns out not to fit is let go")
    func tooLargeInTheEnd() async throws {
        try await withGateway(
            ["OVERSYNC_MAX_USER_BUFFER_BYTES": "2097152"],
            upstreams: ["download": Self.pages(1_200_000)]
        ) { gateway in
            let token = try await RunningGateway.token()
            try await RawConnection.with(gateway, alpn: "h2") { connection in
                try await connection.outbound.write(HTTP2Bytes.preface(window: 0))
                // Two at once: neither is there when the other is asked for, or it is too much.
                for stream in [UInt32(1), 3] {
                    try await connection.outbound.write(
                        HTTP2Bytes.get("/sync/download", token: token, stream: stream))
                }
                try await eventually { gateway.refusals("share_used_up") == 1 }
                #expect(gateway.heldBytes >= 1_200_000 && gateway.heldBytes < 2_097_152)
            }
        }
    }

    @Test("A page costs its user what was read of it, for HEAD and compressed too")
    func charged() async throws {
        let page = 8 << 20
        for (method, headers) in [
            (HTTPMethod.HEAD, HTTPHeaders()), (.GET, ["Accept-Encoding": "gzip"]),
        ] {
            try await withGateway(
                ["OVERSYNC_RATE_BYTES": "1048576"], upstreams: ["download": Self.pages(page)]
            ) { gateway in
                func ask() async throws -> Int {
                    try await gateway.sendSigned(method, "/sync/download", headers: headers).status
                }
                let first = try await ask()
                // It was twice what may be used at once.
                let second = try await ask()
                #expect(first == 200 && second == 429)
            }
        }
    }

    @Test("A stream whose client takes nothing is reset, and a watch without news goes on")
    func stalledStream() async throws {
        let (heads, grow) = AsyncStream<Int64>.makeStream()
        var router = Self.pages(1 << 20)
        router.onStream(DownloadRPC.watchHead) { _, _, _, parts in
            for await head in heads { try await parts.write(.with { $0.highestServerSeq = head }) }
        }
        try await withGateway(
            ["OVERSYNC_STALLED_READER_SECONDS": "1"], upstreams: ["download": router]
        ) { gateway in
            grow.yield(1)
            let token = try await RunningGateway.token()
            let watch = RawConnection.get("/sync/watch?after=0", token: token)
            try await RawConnection.with(gateway) { watching in
                try await watching.outbound.write(ByteBuffer(string: watch))
                var events = watching.inbound.makeAsyncIterator()
                var heard = ""
                while !heard.contains("id: 1\n") {
                    heard += String(buffer: try #require(try await events.next()))
                }
                try await RawConnection.with(gateway, alpn: "h2") { connection in
                    try await connection.outbound.write(HTTP2Bytes.preface(window: 0))
                    try await connection.outbound.write(
                        HTTP2Bytes.get("/sync/download", token: token, stream: 1))
                    var bytes = ByteBuffer()
                    for try await part in connection.inbound {
                        bytes.writeImmutableBuffer(part)
                        let frames = HTTP2Bytes.frames(&bytes)
                        if frames.contains(where: { $0.type == 3 && $0.stream == 1 }) { break }
                    }
                }
                try await eventually { gateway.heldBytes == 0 }
                #expect(gateway.refusals("stalled_reader") == 1)
                grow.yield(2)
                while !heard.contains("id: 2\n") {
                    heard += String(buffer: try #require(try await events.next()))
                }
            }
        }
    }

    @Test("A connection of HTTP/1.1 whose client takes nothing is closed")
    func stalledConnection() async throws {
        try await withGateway(
            ["OVERSYNC_STALLED_READER_SECONDS": "1"],
            upstreams: ["download": Self.pages(Self.largePage)]
        ) { gateway in
            let token = try await RunningGateway.token()
            try await RawConnection.with(gateway, receiveBufferBytes: 64 << 10) { connection in
                let request = RawConnection.get("/sync/download", token: token)
                try await connection.outbound.write(ByteBuffer(string: request))
                try await eventually { gateway.heldBytes == Self.largePage }
                try await eventually { gateway.heldBytes == 0 }
                #expect(gateway.refusals("stalled_reader") == 1)
                var received = 0
                // It ends, in whatever way: it was cut.
                do {
                    for try await part in connection.inbound { received += part.readableBytes }
                } catch {}
                #expect(received < Self.largePage)
            }
        }
    }

    @Test("A slow client is not a stalled one")
    func slow() async throws {
        try await withGateway(
            ["OVERSYNC_STALLED_READER_SECONDS": "2"],
            upstreams: ["download": Self.pages(Self.largePage)]
        ) { gateway in
            let token = try await RunningGateway.token()
            try await RawConnection.with(gateway, receiveBufferBytes: 64 << 10) { connection in
                let request = RawConnection.get(
                    "/sync/download", token: token, "Connection: close\r\n")
                try await connection.outbound.write(ByteBuffer(string: request))
                let start = ContinuousClock.now
                var received = 0
                for try await part in connection.inbound {
                    received += part.readableBytes
                    // As slow as takes it beyond the time for which nothing may be taken.
                    let due = start + .seconds(5) * (Double(received) / Double(Self.largePage))
                    try await eventually { ContinuousClock.now >= due }
                }
                #expect(received > Self.largePage)
            }
        }
    }
}
