import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import Protos
import RPC
import ServiceLifecycle
import Synchronization
import Testing

@testable import Gateway

/// A gateway that goes down, and each kind of client that it has.
@Suite(.timeLimit(.minutes(1)), .serialized)
struct DrainTests {
    private static let health = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    /// More than the sockets between gateway and client hold.
    private static let largePage = ByteBuffer(repeating: UInt8(ascii: "x"), count: 16 << 20)

    /// What an idle gateway takes, and what a machine that is busy with other tests makes of it. It is less than any
    /// of the waits of one that is kept waiting: 5 s by TLS, 30 s by a request.
    private static let promptly: Duration = .seconds(3)

    /// Takes the gateway down, and says how long that took.
    private static func end(_ gateway: RunningGateway) async -> Duration {
        let start = ContinuousClock.now
        await gateway.group.triggerGracefulShutdown()
        await gateway.ended.wait()
        return .now - start
    }

    private static func large(_ asked: Signal) -> RPCRouter {
        var router = RPCRouter()
        router.on(DownloadRPC.pullChanges) { _, _, _ in
            asked.fire()
            return RPCReply(PullChangesReply(), body: largePage)
        }
        return router
    }

    private static let unlimited = ["OVERSYNC_RATE_REQUESTS": "0", "OVERSYNC_RATE_BYTES": "0"]

    // MARK: - Nothing in flight

    @Test(arguments: [("h2", DeafClient.http2Preface), ("http/1.1", health)])
    func `an idle client that hears no goodbye does not hold up the end`(
        _ alpn: String, _ text: String
    ) async throws {
        try await withGateway { gateway in
            let client = try await DeafClient(gateway, alpn: alpn, says: text)
            #expect(await Self.end(gateway) < Self.promptly)
            try await client.close()
        }
    }

    @Test func `a client that never begins with TLS does not hold up the end`() async throws {
        try await withGateway { gateway in
            try await RawConnection.with(gateway, speaksTLS: false) { connection in
                // One that came later is served: the silent one is accepted by then.
                _ = try await gateway.send(.GET, "/health")
                #expect(await Self.end(gateway) < Self.promptly)
            }
        }
    }

    @Test(arguments: [true, false])
    func `an idle client is told that its connection ends`(isHTTP2: Bool) async throws {
        try await withGateway { gateway in
            try await gateway.withClient(isHTTP2: isHTTP2) { client in
                _ = try await gateway.send(.GET, "/health", client: client)
                #expect(await Self.end(gateway) < Self.promptly)
                // It has heard: its connection is closed in order, and not cut.
                #expect(gateway.connectionsCut == 0)
            }
        }
    }

    // MARK: - Requests

    @Test(arguments: [true, false])
    func `while a request is finished, the port is open and refuses others in words`(
        isHTTP2: Bool
    ) async throws {
        let (begun, finish) = (Signal(), Signal())
        var router = RPCRouter()
        router.on(UploadRPC.pushChanges) { _, _, _ in
            begun.fire()
            await finish.wait()
            return RPCReply(PushChangesReply(), body: ByteBuffer(string: "done"))
        }
        try await withGateway(upstreams: ["upload": router]) { gateway in
            try await gateway.withClient(isHTTP2: isHTTP2) { client in
                async let answer = gateway.sendSigned(
                    .POST, "/sync/upload", body: .bytes(ByteBuffer(string: "{}")), client: client)
                await begun.wait()
                await gateway.group.triggerGracefulShutdown()
                try await gateway.refusesRequests()

                // A connection each: it hears that it ends after its first answer.
                try await gateway.withClient(isHTTP2: isHTTP2) { other in
                    let refused = try await gateway.sendSigned(
                        .POST, "/sync/upload", body: .bytes(ByteBuffer(string: "{}")), client: other
                    )
                    #expect(refused.status == 503)
                    #expect(refused.text("error") == "draining")
                    #expect(refused.headers.first(name: "Retry-After") == "1")
                    #expect(refused.headers.first(name: "Connection") == (isHTTP2 ? nil : "close"))
                }
                try await gateway.withClient(isHTTP2: isHTTP2) { other in
                    let ready = try await gateway.send(.GET, "/ready", client: other)
                    #expect(ready.status == 503)
                    #expect(ready.text("status") == "draining")
                }
                try await gateway.withClient(isHTTP2: isHTTP2) { other in
                    let health = try await gateway.send(.GET, "/health", client: other)
                    #expect(health.status == 200)
                }

                finish.fire()
                let start = ContinuousClock.now
                #expect(try await answer.body == "done")
                #expect(
                    try await answer.headers.first(name: "Connection") == (isHTTP2 ? nil : "close"))
                await gateway.ended.wait()
                #expect(ContinuousClock.now - start < Self.promptly)
            }
        }
    }

    @Test(arguments: [true, false])
    func `a body that is still coming is refused at once`(isHTTP2: Bool) async throws {
        try await withGateway { gateway in
            try await gateway.withClient(isHTTP2: isHTTP2) { client in
                let (parts, part) = AsyncStream<ByteBuffer>.makeStream()
                part.yield(ByteBuffer(string: "{"))
                async let answer = gateway.sendSigned(
                    .POST, "/sync/upload", body: .stream(parts, length: .known(Int64(1000))),
                    client: client)
                try await eventually { gateway.requestsInFlight == 1 }
                let start = ContinuousClock.now
                await gateway.group.triggerGracefulShutdown()
                #expect(try await answer.status == 503)
                #expect(try await answer.text("error") == "draining")
                #expect(try await answer.headers.first(name: "Retry-After") == "1")
                await gateway.ended.wait()
                #expect(ContinuousClock.now - start < Self.promptly)
                part.finish()
            }
        }
    }

    @Test func `a body that nobody has asked for yet is refused at once`() async throws {
        try await withGateway { gateway in
            let token = try await RunningGateway.token()
            let request = """
                POST /sync/upload HTTP/1.1\r
                Host: localhost\r
                Authorization: Bearer \(token)\r
                Content-Length: 2\r
                Expect: 100-continue\r
                \r

                """
            let answer = try await RawConnection.with(gateway) { connection in
                try await connection.outbound.write(ByteBuffer(string: request))
                var answer = ""
                for try await part in connection.inbound {
                    answer += String(buffer: part)
                    if answer == "HTTP/1.1 100 Continue\r\n\r\n" {
                        await gateway.group.triggerGracefulShutdown()
                    }
                }
                return answer
            }
            #expect(answer.contains("\r\n\r\nHTTP/1.1 503 "))
            #expect(answer.contains(#""error":"draining""#))
        }
    }

    @Test(arguments: [true, false])
    func `a long poll is answered with the page as it is`(isHTTP2: Bool) async throws {
        let asked = Mutex<[UInt32]>([])
        let begun = Signal()
        var router = RPCRouter()
        router.on(DownloadRPC.pullChanges) { request, _, _ in
            asked.withLock { $0.append(request.waitSeconds) }
            if request.waitSeconds > 0 {
                begun.fire()
                await Signal().wait()
                try Task.checkCancellation()
            }
            return RPCReply(PullChangesReply(), body: ByteBuffer(string: "empty page"))
        }
        try await withGateway(upstreams: ["download": router]) { gateway in
            try await gateway.withClient(isHTTP2: isHTTP2) { client in
                async let answer = gateway.sendSigned(
                    .GET, "/sync/download?after=0&wait=20", client: client)
                await begun.wait()
                #expect(await Self.end(gateway) < Self.promptly)
                let page = try await answer
                #expect(page.status == 200)
                #expect(page.body == "empty page")
                #expect(asked.withLock { $0 } == [20, 0])
            }
        }
    }

    // MARK: - Slow readers

    @Test(arguments: [true, false])
    func `a large answer that is read after the signal arrives whole`(isHTTP2: Bool) async throws {
        let asked = Signal()
        try await withGateway(Self.unlimited, upstreams: ["download": Self.large(asked)]) {
            gateway in
            try await gateway.withClient(isHTTP2: isHTTP2) { client in
                var request = HTTPClientRequest(
                    url: "https://localhost:\(gateway.port)/sync/download?after=0")
                request.headers.add(
                    name: "Authorization", value: "Bearer \(try await RunningGateway.token())")
                let response = try await client.execute(request, timeout: .seconds(30))
                await gateway.group.triggerGracefulShutdown()
                try await gateway.refusesRequests()
                var received = 0
                for try await part in response.body { received += part.readableBytes }
                #expect(received == Self.largePage.readableBytes)
                await gateway.ended.wait()
            }
        }
    }

    @Test func `a client that reads no answer holds up the end until its request's deadline`()
        async throws
    {
        let settings = Self.unlimited.merging(["OVERSYNC_REQUEST_TIMEOUT_SECONDS": "1"]) { $1 }
        try await withGateway(settings, upstreams: ["download": Self.large(Signal())]) { gateway in
            let token = try await RunningGateway.token()
            let request = """
                GET /sync/download?after=0 HTTP/1.1\r
                Host: localhost\r
                Authorization: Bearer \(token)\r
                \r

                """
            let client = try await DeafClient(gateway, alpn: "http/1.1", says: request)
            #expect(await Self.end(gateway) < .seconds(1) + Self.promptly)
            try await client.close()
        }
    }
}
