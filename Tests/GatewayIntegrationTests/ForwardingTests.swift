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
import Traces

@testable import Gateway

/// What goes through the gateway, and what comes back.
@Suite(.timeLimit(.minutes(1)))
struct ForwardingTests {
    /// What a stand-in was called with.
    final class Seen<Request: Sendable>: Sendable {
        private let calls = Mutex<[(Request, ByteBuffer, CallContext)]>([])

        func add(_ request: Request, _ body: ByteBuffer, _ context: CallContext) {
            calls.withLock { $0.append((request, body, context)) }
        }

        var all: [(Request, ByteBuffer, CallContext)] { calls.withLock { $0 } }
    }

    private func upload(_ seen: Seen<PushChangesRequest>, answer: String = "{}") -> RPCRouter {
        var router = RPCRouter()
        router.on(UploadRPC.pushChanges) { request, body, context in
            seen.add(request, body, context)
            return RPCReply(PushChangesReply(), body: ByteBuffer(string: answer))
        }
        return router
    }

    private func download(_ seen: Seen<PullChangesRequest>) -> RPCRouter {
        var router = RPCRouter()
        router.on(DownloadRPC.pullChanges) { request, body, context in
            seen.add(request, body, context)
            return RPCReply(PullChangesReply(), body: ByteBuffer(string: #"{"changes":[]}"#))
        }
        return router
    }

    @Test func `an upload's bytes go through unread, with who sent them, and so does the answer`()
        async throws
    {
        let seen = Seen<PushChangesRequest>()
        let answer = #"{"accepted":true,"n":12345678901234567890.10}"#
        try await withGateway(upstreams: ["upload": upload(seen, answer: answer)]) { gateway in
            // Not JSON at all: that is for the service to say.
            let bytes = ByteBuffer(bytes: (0..<100_000).map { UInt8(truncatingIfNeeded: $0) })
            let reply = try await gateway.sendSigned(
                .POST, "/sync/upload?atomic=true",
                headers: [
                    "X-Request-Id": "r-1",
                    "traceparent":
                        "00-\(String(repeating: "a", count: 32))-\(String(repeating: "b", count: 16))-01",
                ],
                body: .bytes(bytes))
            #expect(reply.status == 200)
            #expect(reply.body == answer)
            #expect(reply.headers.first(name: "Content-Type") == "application/json")
            let (request, body, context) = try #require(seen.all.first)
            #expect(body == bytes)
            #expect(request.atomic)
            #expect(context.caller == CallerIdentity(user: "user-1", device: "device-1"))
            #expect(context.requestID == "r-1")
            #expect(context.trace?.traceparent.hasPrefix("00-aaaa") == true)
        }
    }

    @Test func `the kinds of keys that a client asks for go through, as far as they are known`()
        async throws
    {
        let seen = Seen<PullChangesRequest>()
        try await withGateway(upstreams: ["download": download(seen)]) { gateway in
            for asked in ["integer", " uuid , integer,other ", "Integer", ""] {
                let reply = try await gateway.sendSigned(
                    .GET, "/sync/download?after=0", headers: ["Oversync-Key-Kinds": asked])
                #expect(reply.status == 200)
            }
            _ = try await gateway.sendSigned(.GET, "/sync/download?after=0")
            let kinds = seen.all.map { $0.2.caller?.keyKinds }
            #expect(kinds == [["integer"], ["integer"], [], [], []])
        }
    }

    @Test func `a download's parameters go through, and wrong ones go nowhere`() async throws {
        let seen = Seen<PullChangesRequest>()
        try await withGateway(upstreams: ["download": download(seen)]) { gateway in
            let good = try await gateway.sendSigned(
                .GET, "/sync/download?after=5&limit=10&include_self=true&wait=3")
            #expect(good.status == 200)
            #expect(good.body == #"{"changes":[]}"#)
            let wrong = try await gateway.sendSigned(.GET, "/sync/download?limit=0")
            #expect(wrong.status == 400)
            #expect(wrong.text("error") == "invalid_request")
            #expect(wrong.text("message") == "limit must be between 1 and 1000")
            #expect(seen.all.count == 1)
            let request = try #require(seen.all.first?.0)
            #expect(request.after == 5)
            #expect(request.limit == 10)
            #expect(request.includeSelf)
            #expect(request.waitSeconds == 3)
        }
    }

    @Test func `HTTP/2 is spoken with clients that know it, and HTTP/1.1 with others`() async throws
    {
        try await withGateway { gateway in
            let two = try await gateway.send(.GET, "/health")
            #expect(two.version == .http2)
            let old = HTTPClient(
                eventLoopGroupProvider: .singleton,
                configuration: try RunningGateway.configuration(
                    gateway.certificate, httpVersion: .http1Only))
            let one = try await gateway.send(.GET, "/health", client: old)
            try await old.shutdown()
            #expect(one.version == .http1_1)
            #expect(one.body == two.body)
        }
    }

    @Test(arguments: [
        ("sane-ID_1.x", true), (String(repeating: "x", count: 64), true),
        (String(repeating: "x", count: 65), false), ("has space", false), ("a\"b", false),
        ("ä", false),
    ])
    func `every answer has a version and a request id, the caller's own if it is sane`(
        id: String, isKept: Bool
    ) async throws {
        try await withGateway { gateway in
            for path in ["/health", "/sync/download", "/nowhere"] {
                let answer = try await gateway.send(.GET, path, headers: ["X-Request-Id": id])
                #expect(answer.headers["Oversync-API-Version"] == ["1"])
                let given = try #require(answer.headers.first(name: "X-Request-Id"))
                #expect((given == id) == isKept)
                #expect(!given.isEmpty)
                if answer.status != 200 { #expect(answer.text("request_id") == given) }
            }
        }
    }

    @Test func `what is not there is answered in JSON`() async throws {
        try await withGateway { gateway in
            let nowhere = try await gateway.send(.GET, "/sync/nothing")
            #expect(nowhere.status == 404)
            #expect(nowhere.text("error") == "not_found")
            let wrong = try await gateway.send(.GET, "/sync/upload")
            #expect(wrong.status == 405)
            #expect(wrong.text("error") == "method_not_allowed")
            #expect(wrong.text("message") == "Only POST method is allowed")
            #expect(wrong.headers["Allow"] == ["POST"])
            let version = try await gateway.sendSigned(.GET, "/sync/schema-version")
            #expect(version.body == "{\"schema_version\":1}\n")
        }
    }

    /// S14, H15: no body is unlimited.
    @Test func `S14, H15: a body over the limit is refused, announced or not`() async throws {
        let seen = Seen<PushChangesRequest>()
        try await withGateway(
            ["OVERSYNC_MAX_BODY_BYTES": "100000"], upstreams: ["upload": upload(seen)]
        ) { gateway in
            let exact = try await gateway.sendSigned(
                .POST, "/sync/upload", body: .bytes(ByteBuffer(repeating: 32, count: 100_000)))
            #expect(exact.status == 200)
            let announced = try await gateway.sendSigned(
                .POST, "/sync/upload", body: .bytes(ByteBuffer(repeating: 32, count: 100_001)))
            let parts = AsyncStream<ByteBuffer> { stream in
                for _ in 0..<11 { stream.yield(ByteBuffer(repeating: 32, count: 10_000)) }
                stream.finish()
            }
            let chunked = try await gateway.sendSigned(
                .POST, "/sync/upload", body: .stream(parts, length: .unknown))
            for answer in [announced, chunked] {
                #expect(answer.status == 413)
                #expect(answer.text("error") == "payload_too_large")
                #expect(answer.text("message")?.contains("100000") == true)
            }
            let packed = try await gateway.sendSigned(
                .POST, "/sync/upload", headers: ["Content-Encoding": "br"],
                body: .bytes(ByteBuffer(string: "x")))
            #expect(packed.status == 415)
            #expect(seen.all.count == 1)
        }
    }

    @Test func `a request that takes too long ends, here and in the service`() async throws {
        let cancelled = Signal()
        var router = RPCRouter()
        router.on(UploadRPC.pushChanges) { _, _, _ in
            await Signal().wait()
            cancelled.fire()
            throw CancellationError()
        }
        try await withGateway(
            ["OVERSYNC_REQUEST_TIMEOUT_SECONDS": "1"], upstreams: ["upload": router]
        ) { gateway in
            let answer = try await gateway.sendSigned(
                .POST, "/sync/upload", body: .bytes(ByteBuffer(string: "{}")))
            #expect(answer.status == 503)
            #expect(answer.headers.first(name: "Retry-After") != nil)
            #expect(answer.text("error") == "deadline_exceeded")
            await cancelled.wait()
        }
    }

    @Test func `a body that never ends is not waited for longer than a request may take`()
        async throws
    {
        let seen = Seen<PushChangesRequest>()
        try await withGateway(
            ["OVERSYNC_REQUEST_TIMEOUT_SECONDS": "1"], upstreams: ["upload": upload(seen)]
        ) { gateway in
            let (parts, part) = AsyncStream<ByteBuffer>.makeStream()
            part.yield(ByteBuffer(string: "{"))
            let answer = try await gateway.sendSigned(
                .POST, "/sync/upload", body: .stream(parts, length: .unknown))
            #expect(answer.status == 503)
            #expect(answer.text("error") == "timeout")
            part.finish()
            #expect(seen.all.isEmpty)
        }
    }

    @Test func `a device that hangs up in mid-body is no trouble of ours`() async throws {
        struct HungUp: Error {}
        let seen = Seen<PushChangesRequest>()
        try await withGateway(upstreams: ["upload": upload(seen)]) { gateway in
            let (parts, part) = AsyncThrowingStream<ByteBuffer, any Error>.makeStream()
            part.yield(ByteBuffer(string: "{"))
            part.finish(throwing: HungUp())
            await #expect(throws: (any Error).self) {
                _ = try await gateway.sendSigned(
                    .POST, "/sync/upload", headers: ["X-Request-Id": "gone-1"],
                    body: .stream(parts, length: .unknown))
            }
            try await eventually { gateway.log.all.contains { $0.contains("gone-1") } }
            let lines = gateway.log.all.filter { $0.contains("gone-1") }
            #expect(lines.allSatisfy { !$0.contains(#""level":"error""#) }, "\(lines)")
            #expect(lines.contains { $0.contains(#""status":400"#) }, "\(lines)")
            #expect(seen.all.isEmpty)
        }
    }

    @Test func `a service's failure is the device's failure, and ours is not explained`()
        async throws
    {
        struct Secret: Error {}
        var router = RPCRouter()
        router.on(DownloadRPC.pullChanges) { request, _, _ in
            switch request.after {
            case 1: throw RPCFailure(.gone, code: "history_pruned", message: "Start again")
            case 2:
                throw RPCFailure(
                    .resourceExhausted, code: "slow_down", message: "m", retryAfter: .seconds(7))
            default: throw Secret()
            }
        }
        try await withGateway(upstreams: ["download": router]) { gateway in
            let gone = try await gateway.sendSigned(.GET, "/sync/download?after=1")
            #expect(gone.status == 410)
            #expect(gone.text("error") == "history_pruned")
            let slow = try await gateway.sendSigned(.GET, "/sync/download?after=2")
            #expect(slow.status == 429)
            #expect(slow.headers["Retry-After"] == ["7"])
            let ours = try await gateway.sendSigned(.GET, "/sync/download")
            #expect(ours.status == 500)
            #expect(!ours.body.contains("Secret"))
        }
    }

    @Test func `a service that is not there is missed by name`() async throws {
        let seen = Seen<PullChangesRequest>()
        try await withGateway(upstreams: ["download": download(seen)]) { gateway in
            #expect(try await gateway.send(.GET, "/health").status == 200)
            try await eventually {
                let ready = try await gateway.send(.GET, "/ready")
                return ready.status == 503 && ready.body.contains(#""missing":["auth","upload"]"#)
            }
            let answer = try await gateway.sendSigned(
                .POST, "/sync/upload", body: .bytes(ByteBuffer(string: "{}")))
            #expect(answer.status == 503)
            #expect(answer.text("error") == "unavailable")
            #expect(answer.headers.first(name: "Retry-After") != nil)
        }
    }

    @Test(arguments: [true, false])
    func `a request in flight is finished before the gateway ends`(isHTTP2: Bool) async throws {
        let begun = Signal()
        let finish = Signal()
        var router = RPCRouter()
        router.on(UploadRPC.pushChanges) { _, _, _ in
            begun.fire()
            await finish.wait()
            return RPCReply(PushChangesReply(), body: ByteBuffer(string: "done"))
        }
        try await withGateway(upstreams: ["upload": router]) { gateway in
            let client = HTTPClient(
                eventLoopGroupProvider: .singleton,
                configuration: try RunningGateway.configuration(
                    gateway.certificate, httpVersion: isHTTP2 ? .automatic : .http1Only))
            async let answer = gateway.sendSigned(
                .POST, "/sync/upload", body: .bytes(ByteBuffer(string: "{}")), client: client)
            await begun.wait()
            await gateway.group.triggerGracefulShutdown()
            try await gateway.refusesRequests()
            finish.fire()
            let body = try? await answer.body
            try await client.shutdown()
            #expect(body == "done")
        }
    }

    @Test func `a log line says everything about a request but its secrets`() async throws {
        let seen = Seen<PushChangesRequest>()
        try await withGateway(upstreams: ["upload": upload(seen)]) { gateway in
            _ = try await gateway.sendSigned(
                .POST, "/sync/upload", headers: ["X-Request-Id": "log-1"],
                body: .bytes(ByteBuffer(string: "payload-secret")))
            let bad = try await gateway.send(
                .GET, "/sync/download", headers: ["Authorization": "Bearer token-secret"])
            #expect(bad.status == 401)
            let token = try await RunningGateway.token()
            let line = try #require(gateway.log.all.first { $0.contains("log-1") })
            let object = try #require(
                try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
            #expect(object["route"] as? String == "/sync/upload")
            #expect(object["status"] as? Int == 200)
            #expect(object["method"] as? String == "POST")
            #expect(object["bytes_in"] as? Int == 14)
            #expect(object["bytes_out"] as? Int == 2)
            #expect(object["ms"] is Int)
            #expect((object["user"] as? String)?.count == 12)
            let text = gateway.log.all.joined()
            let parts = token.split(separator: ".")
            for secret in [
                "payload-secret", "token-secret", RunningGateway.secret, "user-1", String(parts[0]),
            ] {
                #expect(!text.contains(secret))
            }
        }
    }
}
