import AsyncHTTPClient
import Compression
import Foundation
import NIOCore
import NIOHTTP1
import Protos
import RPC
import Synchronization
import Testing

@testable import Gateway

/// Compressed bodies, protobuf bodies and the headers that say which history a device belongs to.
@Suite(.timeLimit(.minutes(1)))
struct EncodingTests {
    private final class Seen: Sendable {
        let uploads = Mutex<[(PushChangesRequest, ByteBuffer)]>([])
        let downloads = Mutex<[PullChangesRequest]>([])
    }

    private static let page = #"{"changes":["# + String(repeating: "{},", count: 2000) + "{}]}"

    private func upstreams(_ seen: Seen) -> [String: RPCRouter] {
        var upload = RPCRouter()
        upload.on(UploadRPC.pushChanges) { request, body, _ in
            seen.uploads.withLock { $0.append((request, body)) }
            return RPCReply(PushChangesReply(), body: ByteBuffer(string: "{}"))
        }
        var download = RPCRouter()
        download.on(DownloadRPC.pullChanges) { request, _, _ in
            seen.downloads.withLock { $0.append(request) }
            return RPCReply(PullChangesReply(), body: ByteBuffer(string: Self.page))
        }
        return ["upload": upload, "download": download]
    }

    @Test func `a compressed upload reaches the service as it was before`() async throws {
        let seen = Seen()
        try await withGateway(
            ["OVERSYNC_MAX_BODY_BYTES": "200000"], upstreams: upstreams(seen)
        ) { gateway in
            let body = ByteBuffer(string: String(repeating: "change ", count: 28_000))
            let packed = try #require(Gzip.deflate(body))
            let answer = try await gateway.sendSigned(
                .POST, "/sync/upload", headers: ["Content-Encoding": "gzip"], body: .bytes(packed))
            #expect(answer.status == 200)
            #expect(seen.uploads.withLock { $0.first?.1 } == body)

            // The limit counts what it grows to.
            let bomb = try #require(Gzip.deflate(ByteBuffer(repeating: 0, count: 200_001)))
            let large = try await gateway.sendSigned(
                .POST, "/sync/upload", headers: ["Content-Encoding": "GZIP"], body: .bytes(bomb))
            #expect(large.status == 413 && large.text("error") == "payload_too_large")
            for bad in [ByteBuffer(string: "{}"), ByteBuffer(), bomb.getSlice(at: 0, length: 40)!] {
                let answer = try await gateway.sendSigned(
                    .POST, "/sync/upload", headers: ["Content-Encoding": "gzip"],
                    body: .bytes(bad))
                #expect(answer.status == 400 && answer.text("error") == "invalid_request")
                #expect(answer.text("message")?.contains("gzip") == true)
            }
            #expect(seen.uploads.withLock { $0.count } == 1)
        }
    }

    @Test func `a large answer is compressed for those who take it`() async throws {
        try await withGateway(upstreams: upstreams(Seen())) { gateway in
            let packed = try await gateway.sendSigned(
                .GET, "/sync/download", headers: ["Accept-Encoding": "gzip"])
            #expect(packed.headers["Content-Encoding"] == ["gzip"])
            #expect(packed.headers["Vary"].joined().contains("Accept-Encoding"))
            let plain = try await gateway.sendSigned(.GET, "/sync/download")
            #expect(plain.headers["Content-Encoding"].isEmpty)
            #expect(plain.body == Self.page)
            let small = try await gateway.sendSigned(
                .POST, "/sync/upload", headers: ["Accept-Encoding": "gzip"],
                body: .bytes(ByteBuffer(string: "{}")))
            #expect(small.headers["Content-Encoding"].isEmpty && small.body == "{}")
        }
    }

    @Test func `a compressed answer is the page`() async throws {
        try await withGateway(upstreams: upstreams(Seen())) { gateway in
            var request = HTTPClientRequest(url: "https://localhost:\(gateway.port)/sync/download")
            request.headers = [
                "Accept-Encoding": "gzip",
                "Authorization": "Bearer \(try await RunningGateway.token())",
            ]
            let response = try await gateway.client.execute(request, timeout: .seconds(20))
            let bytes = try await response.body.collect(upTo: 1 << 20)
            #expect(bytes.readableBytes < Self.page.utf8.count / 10)
            #expect(String(buffer: try Gzip.inflate(bytes, limit: 1 << 20)) == Self.page)
        }
    }

    @Test func `protobuf in, protobuf out, by the usual headers`() async throws {
        let seen = Seen()
        try await withGateway(upstreams: upstreams(seen)) { gateway in
            let type = "application/x-protobuf"
            let upload = try await gateway.sendSigned(
                .POST, "/sync/upload", headers: ["Content-Type": type],
                body: .bytes(ByteBuffer(string: "x")))
            #expect(upload.headers["Content-Type"] == [type])
            #expect(seen.uploads.withLock { $0.last?.0.asProtobuf } == true)
            let download = try await gateway.sendSigned(
                .GET, "/sync/download", headers: ["Accept": type])
            #expect(download.headers["Content-Type"] == [type])
            #expect(seen.downloads.withLock { $0.last?.asProtobuf } == true)
            _ = try await gateway.sendSigned(.GET, "/sync/download")
            #expect(seen.downloads.withLock { $0.last?.asProtobuf } == false)
        }
    }

    @Test func `the epoch goes to the services; what is none is refused here`() async throws {
        let seen = Seen()
        try await withGateway(upstreams: upstreams(seen)) { gateway in
            let epoch = UUID().uuidString
            _ = try await gateway.sendSigned(
                .GET, "/sync/download", headers: ["Oversync-Epoch": epoch])
            _ = try await gateway.sendSigned(
                .POST, "/sync/upload", headers: ["Oversync-Epoch": epoch],
                body: .bytes(ByteBuffer(string: "{}")))
            #expect(seen.downloads.withLock { $0.last?.epoch } == epoch.lowercased())
            #expect(seen.uploads.withLock { $0.last?.0.epoch } == epoch.lowercased())
            let bad = try await gateway.sendSigned(
                .GET, "/sync/download", headers: ["Oversync-Epoch": "7"])
            #expect(bad.status == 400)
        }
    }

    @Test func `a token's roles go to the services`() async throws {
        let roles = Mutex<[[String]]>([])
        var upload = RPCRouter()
        upload.on(UploadRPC.pushChanges) { _, _, context in
            roles.withLock { $0.append(context.caller?.roles ?? []) }
            return RPCReply(PushChangesReply(), body: ByteBuffer(string: "{}"))
        }
        try await withGateway(upstreams: ["upload": upload]) { gateway in
            for roles in [["editor", "team:a"], []] {
                let token = try await RunningGateway.token(roles: roles)
                _ = try await gateway.send(
                    .POST, "/sync/upload", headers: ["Authorization": "Bearer \(token)"],
                    body: .bytes(ByteBuffer(string: "{}")))
            }
            #expect(roles.withLock { $0 } == [["editor", "team:a"], []])
            let bad = try await RunningGateway.token(roles: ["a,b"])
            let answer = try await gateway.send(
                .GET, "/sync/schema-version", headers: ["Authorization": "Bearer \(bad)"])
            #expect(answer.status == 401 && answer.text("message")?.contains("roles") == true)
        }
    }
}
