import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Protos
import RPC
import Synchronization
import Testing

@testable import Gateway

/// What administrators see of the last requests.
@Suite(.timeLimit(.minutes(1)))
struct TailTests {
    private struct Tail: Decodable {
        struct Line: Decodable {
            let number: Int64
            let at: String
            let user_id: String?
            let source_id: String?
            let method: String
            let route: String
            let status: Int
            let code: String?
            let is_idle: Bool?
            let bytes_in: Int?
            let bytes_out: Int?
            let rows: Int?
            let changes: [String: Int]?
            let request_id: String
        }

        let gateway: String
        let run: String
        let last: Int64
        let missed: Int64
        let requests: [Line]
    }

    /// What Upload was asked to record, and whether it can.
    private final class Audit: Sendable {
        let visits = Mutex<[String]>([])
        let fails = Atomic(false)
    }

    private static func upstreams(_ audit: Audit = Audit()) -> [String: RPCRouter] {
        var (upload, download) = (RPCRouter(), RPCRouter())
        upload.on(UploadRPC.inspect) { request, _, context in
            if audit.fails.load(ordering: .relaxed) { throw RPCFailure.unavailable("no database") }
            try #require(request.view == .requests)
            audit.visits.withLock { $0.append("\(context.caller?.user ?? "-") \(request.key)") }
            return RPCReply(InspectReply(), body: ByteBuffer(string: "{}"))
        }
        upload.on(UploadRPC.pushChanges) { _, _, _ in
            var reply = PushChangesReply()
            (reply.applied, reply.conflicts, reply.materializeErrors) = (3, 2, 1)
            return RPCReply(reply, body: ByteBuffer(string: "{}"))
        }
        download.on(DownloadRPC.pullChanges) { request, _, _ in
            var reply = PullChangesReply()
            reply.rows = request.after == 0 ? 7 : 0
            return RPCReply(reply, body: ByteBuffer(string: "{}"))
        }
        return ["upload": upload, "download": download]
    }

    private static func ask(
        _ gateway: RunningGateway, _ query: String = "", by user: String = "root"
    ) async throws -> RunningGateway.Answer {
        let root = try await RunningGateway.token(user: user, roles: ["admin"])
        return try await gateway.sendSigned(
            .GET, "/admin/requests" + query, headers: ["Authorization": "Bearer \(root)"])
    }

    private static func look(_ gateway: RunningGateway, _ query: String = "") async throws -> Tail {
        let answer = try await ask(gateway, query)
        try #require(answer.status == 200, "\(answer.body)")
        return try JSONDecoder().decode(Tail.self, from: Data(answer.body.utf8))
    }

    @Test func `uploads, pages and refusals appear with who sent them and what became of them`()
        async throws
    {
        try await withGateway(upstreams: Self.upstreams()) { gateway in
            _ = try await gateway.sendSigned(
                .POST, "/sync/upload", headers: ["X-Request-Id": "r-1"],
                body: .bytes(ByteBuffer(string: #"{"changes":[]}"#)))
            _ = try await gateway.sendSigned(.GET, "/sync/download?after=0")
            _ = try await gateway.sendSigned(.GET, "/sync/download?limit=secret")
            _ = try await gateway.send(.GET, "/nowhere/secret")
            _ = try await gateway.send(
                .GET, "/sync/download", headers: ["Authorization": "Bearer secret"])
            // Neither of these is what devices do.
            _ = try await gateway.send(.GET, "/health")
            _ = try await Self.look(gateway)
            #expect(try await gateway.sendSigned(.GET, "/admin/services").status == 403)
            #expect(try await gateway.sendSigned(.GET, "/admin/nothing").status == 404)
            let tail = try await Self.look(gateway)
            #expect(tail.last == 5 && tail.missed == 0)
            #expect(tail.requests.map(\.number) == [1, 2, 3, 4, 5])
            #expect(tail.requests.map(\.status) == [200, 200, 400, 404, 401])
            #expect(
                tail.requests.map(\.code) == [
                    nil, nil, "invalid_request", "not_found", "authentication_failed",
                ])
            #expect(tail.requests.map(\.user_id) == ["user-1", "user-1", "user-1", nil, nil])
            #expect(tail.requests[3].route == "other", "no path of a stranger is kept")
            let (upload, page) = (tail.requests[0], tail.requests[1])
            #expect(upload.method == "POST" && upload.route == "/sync/upload")
            #expect(upload.source_id == "device-1" && upload.request_id == "r-1")
            #expect(upload.bytes_in == 14 && upload.bytes_out == 2)
            #expect(
                upload.changes == [
                    "applied": 3, "duplicate": 0, "conflict": 2, "invalid": 0,
                    "materialize_error": 1,
                ])
            #expect(page.rows == 7 && page.changes == nil && page.is_idle == nil)
        }
    }

    @Test func `a cursor shows what is new, filters what is wanted, and another run begins anew`()
        async throws
    {
        try await withGateway(upstreams: Self.upstreams()) { gateway in
            _ = try await gateway.sendSigned(.GET, "/sync/download?after=0")
            let first = try await Self.look(gateway)
            #expect(first.requests.map(\.number) == [1])
            // Another user, and a poll that finds nothing.
            let bob = try await RunningGateway.token(user: "bob", device: "b")
            _ = try await gateway.sendSigned(
                .GET, "/sync/schema-version", headers: ["Authorization": "Bearer \(bob)"])
            _ = try await gateway.sendSigned(.GET, "/sync/download?after=9")
            let cursor = "?after=\(first.last)&run=\(first.run)"
            let second = try await Self.look(gateway, cursor)
            #expect(second.run == first.run && second.last == 3)
            #expect(second.requests.map(\.number) == [2])
            let idle = try await Self.look(gateway, cursor + "&idle=true")
            #expect(idle.requests.map(\.is_idle) == [nil, true])
            let users = try await Self.look(gateway, "?user=bob")
            #expect(users.requests.map(\.user_id) == ["bob"])
            let devices = try await Self.look(gateway, "?device=device-1&status=2xx&idle=true")
            #expect(devices.requests.map(\.number) == [1, 3])
            let limited = try await Self.look(gateway, "?limit=1&after=0")
            #expect(limited.requests.map(\.number) == [2] && limited.missed == 1)
            let other = try await Self.look(gateway, "?after=\(first.last)&run=other")
            #expect(other.requests.map(\.number) == [1, 2] && other.missed == 0)
        }
    }

    @Test func `it is for administrators alone, and wrong filters are refused`() async throws {
        try await withGateway(upstreams: Self.upstreams()) { gateway in
            let user = try await gateway.sendSigned(.GET, "/admin/requests")
            #expect(user.status == 403)
            let root = try await RunningGateway.token(roles: ["admin"])
            for query in [
                "status=4", "limit=0", "limit=1001", "after=-1", "after=x", "user=%00", "idle=1",
            ] {
                let answer = try await gateway.sendSigned(
                    .GET, "/admin/requests?" + query, headers: ["Authorization": "Bearer \(root)"])
                #expect(answer.status == 400, "\(query)")
            }
        }
    }

    @Test func `the audit has one row for a visit, and nothing is shown without it`() async throws {
        let audit = Audit()
        try await withGateway(
            ["OVERSYNC_REPLICA": "gw-2"], upstreams: Self.upstreams(audit)
        ) { gateway in
            audit.fails.store(true, ordering: .relaxed)
            let refused = try await Self.ask(gateway)
            #expect(refused.status == 503 && !refused.body.contains(#""run""#))
            audit.fails.store(false, ordering: .relaxed)
            let first = try await Self.look(gateway)
            #expect(first.gateway == "gw-2")
            // One who looks on needs no database.
            audit.fails.store(true, ordering: .relaxed)
            _ = try await Self.look(gateway, "?after=\(first.last)&run=\(first.run)")
            _ = try await Self.look(gateway, "?user=ann")
            audit.fails.store(false, ordering: .relaxed)
            #expect(try await Self.ask(gateway, by: "eve").status == 200)
            #expect(audit.visits.withLock { $0 } == ["root gw-2", "eve gw-2"])
        }
    }
}
