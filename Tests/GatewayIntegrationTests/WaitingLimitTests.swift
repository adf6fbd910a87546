import NIOCore
import NIOHTTP1
import Protos
import RPC
import SwiftProtobuf
import Synchronization
import Telemetry
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

    /// A Download whose long polls wait until they are cancelled.
    private static func waitingPolls(_ waiting: Waiting = Waiting()) -> [String: RPCRouter] {
        var router = RPCRouter()
        router.on(DownloadRPC.pullChanges) { request, _, _ in
            if request.waitSeconds > 0 {
                waiting.change(1)
                defer { waiting.change(-1) }
                // Ends with its task alone.
                for await _ in AsyncStream<Void>.makeStream().stream {}
                throw CancellationError()
            }
            return RPCReply(PullChangesReply(), body: ByteBuffer(string: "{}"))
        }
        return ["download": router]
    }

    /// Polls that wait in the service.
    private final class Waiting: Sendable {
        private let number = Atomic(0)

        var count: Int { number.load(ordering: .relaxed) }
        func change(_ by: Int) { number.add(by, ordering: .relaxed) }
    }

    @Test(
        "A device's further long poll ends its oldest with a page; a user's further one is refused")
    func polls() async throws {
        try await withGateway(
            ["OVERSYNC_MAX_DEVICE_LONG_POLLS": "1", "OVERSYNC_MAX_USER_LONG_POLLS": "1"],
            upstreams: Self.waitingPolls()
        ) { gateway in
            let first = Task { try await gateway.sendSigned(.GET, "/sync/download?wait=50") }
            try await eventually { gateway.longPolls == 1 }
            let laptop = try await RunningGateway.token(device: "laptop")
            let refused = try await gateway.sendSigned(
                .GET, "/sync/download?wait=50", headers: ["Authorization": "Bearer \(laptop)"])
            #expect(refused.status == 429 && refused.text("error") == "too_many_waiting")
            #expect(refused.text("message")?.contains("user") == true)
            #expect(refused.headers.contains(name: "Retry-After"))
            // Without a wait there is nothing to wait for.
            #expect(try await gateway.sendSigned(.GET, "/sync/download").status == 200)
            let token = try await RunningGateway.token()
            try await RawConnection.with(gateway) { connection in
                let poll = RawConnection.get("/sync/download?wait=50", token: token)
                try await connection.outbound.write(ByteBuffer(string: poll))
                let answer = try await first.value
                #expect(answer.status == 200 && answer.body == "{}")
                #expect(gateway.refusals("replaced_poll") == 1 && gateway.longPolls == 1)
            }
            try await eventually { gateway.longPolls == 0 }
        }
    }

    /// How a client leaves a poll.
    enum Leaving: CaseIterable {
        case reset, close, resetStream, closeHTTP2
    }

    @Test("The seat of a poll whose client has gone is free at once", arguments: Leaving.allCases)
    func clientGone(_ leaving: Leaving) async throws {
        let waiting = Waiting()
        try await withGateway(upstreams: Self.waitingPolls(waiting)) { gateway in
            let token = try await RunningGateway.token()
            let isHTTP2 = leaving == .resetStream || leaving == .closeHTTP2
            try await RawConnection.with(
                gateway, alpn: isHTTP2 ? "h2" : "http/1.1", resets: leaving == .reset
            ) { connection in
                let path = "/sync/download?wait=50"
                if isHTTP2 {
                    try await connection.outbound.write(HTTP2Bytes.preface(window: 65_535))
                    try await connection.outbound.write(
                        HTTP2Bytes.get(path, token: token, stream: 1))
                } else {
                    let poll = RawConnection.get(path, token: token)
                    try await connection.outbound.write(ByteBuffer(string: poll))
                }
                try await eventually { waiting.count == 1 }
                guard leaving == .resetStream else { return }
                try await connection.outbound.write(HTTP2Bytes.reset(stream: 1))
                try await eventually { gateway.longPolls == 0 && waiting.count == 0 }
            }
            try await eventually { gateway.longPolls == 0 && waiting.count == 0 }
        }
    }

    @Test("How long a poll waited is no time of the server's, though its client has gone")
    func timeOfGone() async throws {
        let waiting = Waiting()
        // What a busy machine adds to the rest is in both times that are compared.
        let held: Duration = .milliseconds(500)
        try await withGateway(upstreams: Self.waitingPolls(waiting)) { gateway in
            let token = try await RunningGateway.token()
            let start = ContinuousClock.now
            try await RawConnection.with(gateway) { connection in
                let poll = RawConnection.get("/sync/download?wait=50", token: token)
                try await connection.outbound.write(ByteBuffer(string: poll))
                try await eventually { waiting.count == 1 }
                let waits = ContinuousClock.now
                try await eventually { ContinuousClock.now - waits >= held }
            }
            let sum = #/oversync_gateway_request_seconds_sum\{[^}]*sync/download[^}]*\} (\S+)/#
            try await eventually { gateway.metrics.rendered().contains(sum) }
            let total = ContinuousClock.now - start
            let counted = try #require(gateway.metrics.rendered().firstMatch(of: sum))
            let seconds = try #require(Double(counted.output.1))
            #expect(seconds <= (total - held) / .seconds(1))
        }
    }

    @Test("An upload goes on to its answer although its client has gone", arguments: [true, false])
    func uploadGoesOn(isHTTP2: Bool) async throws {
        let (begun, goOn, ended) = (Signal(), Signal(), Signal())
        let wasCancelled = Atomic(false)
        var router = RPCRouter()
        router.on(UploadRPC.pushChanges) { _, _, _ in
            begun.fire()
            await goOn.wait()
            wasCancelled.store(Task.isCancelled, ordering: .relaxed)
            ended.fire()
            return RPCReply(PushChangesReply(), body: ByteBuffer(string: "{}"))
        }
        try await withGateway(upstreams: ["upload": router]) { gateway in
            let token = try await RunningGateway.token()
            try await RawConnection.with(gateway, alpn: isHTTP2 ? "h2" : "http/1.1", resets: true) {
                connection in
                if isHTTP2 {
                    try await connection.outbound.write(HTTP2Bytes.preface(window: 65_535))
                    try await connection.outbound.write(
                        HTTP2Bytes.get("/sync/upload", token: token, stream: 1, method: "POST"))
                } else {
                    let upload = RawConnection.get("/sync/upload", token: token)
                        .replacing("GET ", with: "POST ")
                    try await connection.outbound.write(ByteBuffer(string: upload))
                }
                await begun.wait()
            }
            // The gateway knows that the connection has ended.
            try await eventually(within: .seconds(20)) { gateway.connections == 0 }
            #expect(gateway.requestsInFlight == 1)
            goOn.fire()
            await ended.wait()
            let hasHeard = wasCancelled.load(ordering: .relaxed)
            #expect(!hasHeard)
            try await eventually { gateway.requestsInFlight == 0 }
        }
    }
}
