import AsyncHTTPClient
import Foundation
import Model
import NIOCore
import NIOHTTP1
import Protos
import RPC
import Synchronization
import Testing

@testable import Gateway

/// `Oversync-History` through the gateway, both ways.
@Suite(.timeLimit(.minutes(1)))
struct HistoryHeaderTests {
    private static let epoch = "00000000-0000-4000-8000-0000000000aa"
    private static let told = "7-00ab000000000001"

    /// Services that keep what they were told, and tell the change 9 to everybody who asks.
    private final class Services: Sendable {
        let told = Mutex<[String]>([])

        func upstreams() -> [String: RPCRouter] {
            var upload = RPCRouter()
            upload.on(UploadRPC.pushChanges) { [self] request, _, _ in
                add("upload", request.historySeq, request.historyTag)
                var reply = PushChangesReply()
                if request.historySeq > 0 || !request.epoch.isEmpty {
                    (reply.historySeq, reply.historyTag) = (9, 0xF)
                }
                return RPCReply(reply, body: ByteBuffer(string: "{}"))
            }
            var download = RPCRouter()
            download.on(DownloadRPC.pullChanges) { [self] request, _, _ in
                add("download", request.historySeq, request.historyTag)
                var reply = PullChangesReply()
                if request.historySeq > 0 || !request.epoch.isEmpty {
                    (reply.historySeq, reply.historyTag) = (9, .max)
                }
                return RPCReply(reply, body: ByteBuffer(string: "{}"))
            }
            download.on(DownloadRPC.readBootstrap) { [self] request, _, _ in
                add("bootstrap \(request.tellsHistory)", request.historySeq, request.historyTag)
                var reply = ReadBootstrapReply()
                if request.historySeq > 0 { reply.history = "forked" }
                if request.tellsHistory { (reply.historySeq, reply.historyTag) = (9, 1) }
                return RPCReply(reply)
            }
            download.onStream(DownloadRPC.watchHead) { [self] request, _, _, _ in
                add("watch", request.historySeq, request.historyTag)
                throw RPCFailure(.conflict, code: "history_forked", message: "lost")
            }
            return ["upload": upload, "download": download]
        }

        private func add(_ call: String, _ sequence: Int64, _ tag: UInt64) {
            told.withLock { $0.append("\(call) \(sequence) \(tag)") }
        }
    }

    @Test func `what a device tells goes to each service, and what they tell comes back`()
        async throws
    {
        let services = Services()
        try await withGateway(upstreams: services.upstreams()) { gateway in
            let headers: HTTPHeaders = ["Oversync-History": Self.told]
            let upload = try await gateway.sendSigned(
                .POST, "/sync/upload", headers: headers, body: .bytes(ByteBuffer(string: "{}")))
            #expect(upload.headers["Oversync-History"] == ["9-000000000000000f"])
            let page = try await gateway.sendSigned(.GET, "/sync/download", headers: headers)
            #expect(page.headers["Oversync-History"] == ["9-ffffffffffffffff"])
            let standing = try await gateway.sendSigned(.GET, "/sync/bootstrap", headers: headers)
            #expect(standing.headers["Oversync-History"] == ["9-0000000000000001"])
            #expect(standing.text("history") == "forked")
            let watch = try await gateway.sendSigned(.GET, "/sync/watch", headers: headers)
            #expect(watch.status == 409 && watch.text("error") == "history_forked")
            // By the answers to the bootstrap and to the watch.
            let counter = "oversync_gateway_histories_total{code=\"history_forked\"}"
            #expect(gateway.counted(counter) == 2)
            let tag = 0x00AB_0000_0000_0001
            #expect(
                services.told.withLock { $0 } == [
                    "upload 7 \(tag)", "download 7 \(tag)", "bootstrap true 7 \(tag)",
                    "watch 7 \(tag)",
                ])
        }
    }

    @Test
    func `a device without a pair gets its first one with its epoch, and an older client none`()
        async throws
    {
        let services = Services()
        try await withGateway(upstreams: services.upstreams()) { gateway in
            for epoch in [true, false] {
                let headers: HTTPHeaders = epoch ? ["Oversync-Epoch": Self.epoch] : [:]
                for (method, path) in [
                    (HTTPMethod.POST, "/sync/upload"), (.GET, "/sync/download"),
                    (.GET, "/sync/bootstrap"),
                ] {
                    let answer = try await gateway.sendSigned(
                        method, path, headers: headers,
                        body: method == .POST ? .bytes(ByteBuffer(string: "{}")) : nil)
                    #expect(answer.status == 200)
                    #expect(answer.headers.contains(name: "Oversync-History") == epoch)
                    #expect(answer.text("history") == nil)
                }
            }
            #expect(
                services.told.withLock { $0 } == [
                    "upload 0 0", "download 0 0", "bootstrap true 0 0", "upload 0 0",
                    "download 0 0", "bootstrap false 0 0",
                ])
        }
    }

    @Test(arguments: [
        "x", "7", "-1-00ab000000000001", "0-00ab000000000001", "7-ab", "7-00ab00000000000g",
        "7-+0ab000000000001", "+7-00ab000000000001", "7-00ab000000000001-", " 7-00ab000000000001,x",
        "9223372036854775808-00ab000000000001", "7.0-00ab000000000001", "٧-00ab000000000001",
    ]) func `a malformed one is refused with what it must be, and goes nowhere`(text: String)
        async throws
    {
        #expect(HistoryPair(text: text) == nil)
        guard text.utf8.allSatisfy({ $0 < 0x80 }) else { return }
        let services = Services()
        try await withGateway(upstreams: services.upstreams()) { gateway in
            for path in ["/sync/download", "/sync/bootstrap", "/sync/watch"] {
                let answer = try await gateway.sendSigned(
                    .GET, path, headers: ["Oversync-History": text])
                #expect(answer.status == 400 && answer.text("error") == "invalid_request")
                #expect(answer.text("message")?.contains("Oversync-History must be") == true)
            }
            #expect(services.told.withLock { $0 } == [])
        }
    }

    @Test func `the largest one is taken, in either case`() {
        let pair = HistoryPair(sequence: .max, tag: 0xABCD_EF01_2345_6789)
        #expect(pair.text == "9223372036854775807-abcdef0123456789")
        #expect(pair.text.utf8.count + "Oversync-History: ".utf8.count <= 55)
        #expect(HistoryPair(text: pair.text) == pair)
        #expect(HistoryPair(text: pair.text.uppercased()) == pair)
    }
}
