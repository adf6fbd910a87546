import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Protos
import RPC
import ServiceLifecycle
import SwiftProtobuf
import Synchronization
import Testing

@testable import Gateway

/// `/sync/watch` through the gateway.
@Suite(.timeLimit(.minutes(1)))
struct WatchTests {
    /// A Download whose user's log grows when the test says so.
    private final class Log: Sendable {
        let heads: AsyncStream<Int64>
        let grow: AsyncStream<Int64>.Continuation
        let requests = Mutex<[WatchHeadRequest]>([])
        let ended = Signal()
        private let isOver = Atomic(false)

        init() { (heads, grow) = AsyncStream.makeStream() }

        var hasEnded: Bool { isOver.load(ordering: .acquiring) }

        /// - Parameter failure: how every watch is refused.
        func router(refusing failure: RPCFailure? = nil) -> RPCRouter {
            var router = RPCRouter()
            router.onStream(DownloadRPC.watchHead) { [self] request, _, _, parts in
                requests.withLock { $0.append(request) }
                if let failure { throw failure }
                defer {
                    isOver.store(true, ordering: .releasing)
                    ended.fire()
                }
                for await head in heads {
                    try await parts.write(.with { $0.highestServerSeq = head })
                }
            }
            return router
        }
    }

    /// The events of a stream, as they come.
    private struct Events {
        private var bytes: HTTPClientResponse.Body.AsyncIterator
        private var text = ""

        init(_ response: HTTPClientResponse) { bytes = response.body.makeAsyncIterator() }

        /// The next block of lines; nil at the end.
        mutating func next() async throws -> String? {
            while true {
                if let end = text.firstRange(of: "\n\n") {
                    defer { text.removeSubrange(..<end.upperBound) }
                    return String(text[..<end.lowerBound])
                }
                guard let more = try await bytes.next() else { return nil }
                text += String(buffer: more)
            }
        }
    }

    private static func watch(
        _ gateway: RunningGateway, _ query: String = "", headers: HTTPHeaders = [:],
        lifetime: Int = 600
    ) async throws -> HTTPClientResponse {
        var request = HTTPClientRequest(
            url: "https://localhost:\(gateway.port)/sync/watch\(query)")
        request.headers = headers
        let token = try await RunningGateway.token(lifetime: lifetime)
        request.headers.add(name: "Authorization", value: "Bearer \(token)")
        return try await gateway.client.execute(request, timeout: .seconds(30))
    }

    @Test func `each growth is an event; what the device has is none`() async throws {
        let log = Log()
        try await withGateway(upstreams: ["download": log.router()]) { gateway in
            log.grow.yield(5)
            let response = try await Self.watch(gateway, "?after=5")
            #expect(response.status == .ok)
            #expect(response.headers["Content-Type"] == ["text/event-stream"])
            #expect(response.headers["Oversync-API-Version"] == ["1"])
            var events = Events(response)
            #expect(try await events.next() == "retry: 1000")
            log.grow.yield(6)
            #expect(
                try await events.next()
                    == "id: 6\nevent: change\ndata: {\"highest_server_seq\":6}")
            log.grow.yield(9)
            #expect(try await events.next()?.hasPrefix("id: 9\n") == true)
            #expect(log.requests.withLock { $0.map(\.after) } == [5])
        }
    }

    @Test func `a device that is behind is told at once, by after or by the last event's id`()
        async throws
    {
        for (query, headers) in [("?after=3", HTTPHeaders()), ("", ["Last-Event-ID": "3"])] {
            let log = Log()
            try await withGateway(upstreams: ["download": log.router()]) { gateway in
                log.grow.yield(8)
                var events = Events(try await Self.watch(gateway, query, headers: headers))
                #expect(try await events.next() == "retry: 1000")
                #expect(try await events.next()?.hasPrefix("id: 8\n") == true)
                #expect(log.requests.withLock { $0.map(\.after) } == [3])
            }
        }
    }

    @Test func `what is wrong is answered with its status before the stream begins`() async throws {
        let pruned = RPCFailure(.gone, code: "history_pruned", message: "start from 0")
        let log = Log()
        try await withGateway(upstreams: ["download": log.router(refusing: pruned)]) { gateway in
            let answer = try await gateway.sendSigned(.GET, "/sync/watch?after=1")
            #expect(answer.status == 410 && answer.text("error") == "history_pruned")
            let bad = try await gateway.sendSigned(.GET, "/sync/watch?after=x")
            #expect(bad.status == 400)
        }
    }

    @Test func `H15: a stream ends with its token`() async throws {
        let log = Log()
        try await withGateway(
            ["OVERSYNC_JWT_SKEW_SECONDS": "0"], upstreams: ["download": log.router()]
        ) { gateway in
            log.grow.yield(1)
            var events = Events(try await Self.watch(gateway, "?after=1", lifetime: 2))
            let start = ContinuousClock.now
            #expect(try await events.next() == "retry: 1000")
            #expect(try await events.next() == nil)
            #expect(ContinuousClock.now - start < .seconds(4))
            await log.ended.wait()
        }
    }

    @Test func `when the device goes away, so does the watch in the service`() async throws {
        let log = Log()
        try await withGateway(upstreams: ["download": log.router()]) { gateway in
            do {
                log.grow.yield(1)
                var events = Events(try await Self.watch(gateway))
                #expect(try await events.next() == "retry: 1000")
            }
            // Noticed with the next thing that is to be written.
            try await eventually {
                log.grow.yield(.random(in: 2 ... .max))
                return log.hasEnded
            }
        }
    }

    @Test func `when a replica sends its watches away, the gateway watches elsewhere and goes on`()
        async throws
    {
        let asked = Mutex<[Int64]>([])
        let forever = AsyncStream<Void>.makeStream().stream
        var router = RPCRouter()
        router.onStream(DownloadRPC.watchHead) { request, _, _, parts in
            let turn = asked.withLock { asked in
                asked.append(request.after)
                return asked.count
            }
            try await parts.write(.with { $0.highestServerSeq = turn == 1 ? 5 : 6 })
            if turn > 1 { for await _ in forever {} }
        }
        try await withGateway(upstreams: ["download": router]) { gateway in
            var events = Events(try await Self.watch(gateway, "?after=4"))
            #expect(try await events.next() == "retry: 1000")
            #expect(try await events.next()?.hasPrefix("id: 5\n") == true)
            #expect(try await events.next()?.hasPrefix("id: 6\n") == true)
            #expect(asked.withLock { $0 } == [4, 5])
        }
    }

    @Test func `a gateway that goes down ends its streams in order`() async throws {
        let log = Log()
        try await withGateway(upstreams: ["download": log.router()]) { gateway in
            log.grow.yield(1)
            var events = Events(try await Self.watch(gateway, "?after=1"))
            #expect(try await events.next() == "retry: 1000")
            await gateway.group.triggerGracefulShutdown()
            // Each device comes back at a moment of its own.
            let goodbye = try #require(try await events.next())
            let pause = goodbye.split(separator: " ").last.flatMap { Int($0) }
            #expect(goodbye.hasPrefix("retry: "))
            #expect(Watch.returnMilliseconds.contains(try #require(pause)))
            #expect(try await events.next() == nil)
        }
    }

    @Test func `a watch that no replica begins in time is refused, and its place is free again`()
        async throws
    {
        var silent = RPCRouter()
        silent.onStream(DownloadRPC.watchHead) { _, _, _, _ in await Signal().wait() }
        try await withGateway(
            ["OVERSYNC_REQUEST_TIMEOUT_SECONDS": "1", "OVERSYNC_MAX_WATCHERS": "1"],
            upstreams: ["download": silent]
        ) { gateway in
            for _ in 1...2 {
                let response = try await Self.watch(gateway)
                #expect(response.status == .serviceUnavailable)
                let body = String(buffer: try await response.body.collect(upTo: 1024))
                #expect(body.contains("deadline_exceeded"))
            }
        }
    }

    @Test func `a watch ends when its device is gone, and not only when it is written to`()
        async throws
    {
        let log = Log()
        try await withGateway(
            ["OVERSYNC_MAX_WATCHERS": "1"], upstreams: ["download": log.router()]
        ) { gateway in
            let token = try await RunningGateway.token()
            log.grow.yield(1)
            try await RawConnection.with(gateway, resets: true) { connection in
                let request =
                    "GET /sync/watch HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(token)\r\n\r\n"
                try await connection.outbound.write(ByteBuffer(string: request))
                var answer = ""
                for try await part in connection.inbound {
                    answer += String(buffer: part)
                    if answer.contains("highest_server_seq") { break }
                }
                #expect(answer.hasPrefix("HTTP/1.1 200 "))
            }
            let start = ContinuousClock.now
            await log.ended.wait()
            #expect(ContinuousClock.now - start < Watch.heartbeat / 2)
        }
    }

    @Test func `no more than may watch do`() async throws {
        let log = Log()
        try await withGateway(
            ["OVERSYNC_MAX_WATCHERS": "1"], upstreams: ["download": log.router()]
        ) { gateway in
            log.grow.yield(1)
            var events = Events(try await Self.watch(gateway))
            _ = try await events.next()
            let answer = try await gateway.sendSigned(.GET, "/sync/watch")
            #expect(answer.status == 503 && answer.text("error") == "too_many_watchers")
            #expect(answer.headers.contains(name: "Retry-After"))
        }
    }
}
