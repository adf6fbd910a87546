import NIOCore
import NIOHTTP1
import Protos
import RPC
import SwiftProtobuf
import Testing

@testable import Gateway

/// How often a user and a device may wait at once.
@Suite("Limits of waiting", .timeLimit(.minutes(1)))
struct WaitingLimitTests {
    /// A Download whose log stands at 1.
    private static var watched: [String: RPCRouter] {
        let forever = AsyncStream<Void>.makeStream().stream
        var router = RPCRouter()
        router.onStream(DownloadRPC.watchHead) { _, _, _, parts in
            try await parts.write(.with { $0.highestServerSeq = 1 })
            for await _ in forever {}
        }
        return ["download": router]
    }

    /// A watch that has heard of the log, on a connection that ends with it.
    private static func watching(
        _ gateway: RunningGateway, device: String,
        _ body: (inout NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator) async throws -> Void
    ) async throws {
        let token = try await RunningGateway.token(device: device)
        try await RawConnection.with(gateway) { connection in
            let request = RawConnection.get(
                "/sync/watch?after=0", token: token, "Connection: close\r\n")
            try await connection.outbound.write(ByteBuffer(string: request))
            var parts = connection.inbound.makeAsyncIterator()
            var heard = ""
            while !heard.contains("id: 1\n") {
                heard += String(buffer: try #require(try await parts.next()))
            }
            #expect(heard.hasPrefix("HTTP/1.1 200 "))
            try await body(&parts)
        }
    }

    @Test("A device's further watch ends its oldest; a user's further device is refused")
    func watches() async throws {
        try await withGateway(
            ["OVERSYNC_MAX_DEVICE_WATCHERS": "1", "OVERSYNC_MAX_USER_WATCHERS": "1"],
            upstreams: Self.watched
        ) { gateway in
            let first = Signal()
            let opened = Signal()
            async let former: Void = Self.watching(gateway, device: "phone") { rest in
                opened.fire()
                while try await rest.next() != nil {}
                first.fire()
            }
            await opened.wait()
            let laptop = try await RunningGateway.token(device: "laptop")
            let refused = try await gateway.send(
                .GET, "/sync/watch", headers: ["Authorization": "Bearer \(laptop)"])
            #expect(refused.status == 429 && refused.text("error") == "too_many_waiting")
            #expect(refused.headers.contains(name: "Retry-After"))
            try await Self.watching(gateway, device: "phone") { _ in
                try await eventually { gateway.refusals("replaced_watch") == 1 }
                await first.wait()
            }
            try await former
        }
    }

    @Test("A device's further long poll is refused, and gets in when the first is answered")
    func polls() async throws {
        let answer = Signal()
        var router = RPCRouter()
        router.on(DownloadRPC.pullChanges) { request, _, _ in
            if request.waitSeconds > 0 { await answer.wait() }
            return RPCReply(PullChangesReply(), body: ByteBuffer(string: "{}"))
        }
        try await withGateway(
            ["OVERSYNC_MAX_DEVICE_LONG_POLLS": "1", "OVERSYNC_MAX_USER_LONG_POLLS": "1"],
            upstreams: ["download": router]
        ) { gateway in
            async let first = gateway.sendSigned(.GET, "/sync/download?wait=50")
            try await eventually { gateway.longPolls == 1 }
            let laptop = try await RunningGateway.token(device: "laptop")
            for (headers, word) in [
                (HTTPHeaders(), "device"), (["Authorization": "Bearer \(laptop)"], "user"),
            ] {
                let refused = try await gateway.sendSigned(
                    .GET, "/sync/download?wait=50", headers: headers)
                #expect(refused.status == 429 && refused.text("error") == "too_many_waiting")
                #expect(refused.text("message")?.contains(word) == true)
                #expect(refused.headers.contains(name: "Retry-After"))
            }
            // Without a wait there is nothing to wait for.
            #expect(try await gateway.sendSigned(.GET, "/sync/download").status == 200)
            answer.fire()
            #expect(try await first.status == 200)
            try await eventually { gateway.longPolls == 0 }
            #expect(try await gateway.sendSigned(.GET, "/sync/download?wait=50").status == 200)
        }
    }
}
