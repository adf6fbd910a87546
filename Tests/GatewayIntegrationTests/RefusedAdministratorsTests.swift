import NIOHTTP1
import Protos
import RPC
import Synchronization
import Testing

@testable import Gateway

/// Who asks for what administrators see, and lacks their role.
@Suite(.timeLimit(.minutes(1)))
struct RefusedAdministratorsTests {
    /// A stand-in for Upload that keeps what it is to record.
    final class Records: Sendable {
        struct Record: Sendable {
            let request: RecordRefusalRequest
            let context: CallContext
        }

        private let state = Mutex<[Record]>([])
        var all: [Record] { state.withLock { $0 } }

        var router: RPCRouter {
            var router = RPCRouter()
            router.on(UploadRPC.recordRefusal) { [self] request, _, context in
                state.withLock { $0.append(Record(request: request, context: context)) }
                return RPCReply(RecordRefusalReply())
            }
            router.on(UploadRPC.listFailures) { [self] _, _, context in
                state.withLock {
                    $0.append(Record(request: RecordRefusalRequest(), context: context))
                }
                return RPCReply(ListFailuresReply())
            }
            return router
        }
    }

    @Test func `a refusal is recorded with user, device, address, route and code`() async throws {
        let records = Records()
        try await withGateway(upstreams: ["upload": records.router]) { gateway in
            let answer = try await gateway.sendSigned(.GET, "/admin/materialize-failures?user=x")
            #expect(answer.status == 403)
            try await eventually { records.all.count == 1 }
            let record = try #require(records.all.first)
            #expect(record.context.caller?.user == "user-1")
            #expect(record.context.caller?.device == "device-1")
            #expect(record.context.clientAddress == "127.0.0.1")
            #expect(record.request.route == "GET /admin/materialize-failures")
            #expect(record.request.code == "forbidden" && record.request.leftOut == 0)
        }
    }

    @Test func `an administrator's call carries the address, and nobody else's does`() async throws
    {
        let records = Records()
        try await withGateway(upstreams: ["upload": records.router]) { gateway in
            let token = try await RunningGateway.token(roles: ["admin"])
            let answer = try await gateway.send(
                .GET, "/admin/materialize-failures", headers: ["Authorization": "Bearer \(token)"])
            #expect(answer.status == 200)
            #expect(records.all.map(\.context.clientAddress) == ["127.0.0.1"])
        }
    }

    @Test func `a flood is answered like one, and a bounded part of it is recorded`() async throws {
        let records = Records()
        try await withGateway(upstreams: ["upload": records.router]) { gateway in
            let sent = 200
            try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<sent {
                    group.addTask {
                        try await gateway.sendSigned(.GET, "/admin/materialize-failures").status
                    }
                }
                for try await status in group { #expect(status == 403) }
            }
            // The next one that is recorded tells how many were not.
            try await eventually {
                _ = try await gateway.sendSigned(.GET, "/admin/materialize-failures")
                return records.all.contains { $0.request.leftOut > 0 }
            }
            let leftOut = records.all.reduce(0) { $0 + Int($1.request.leftOut) }
            #expect(records.all.count < sent / 2)
            #expect(records.all.count + leftOut >= sent)
        }
    }

    @Test func `without Upload the answer comes as fast, and the gateway runs on`() async throws {
        try await withGateway { gateway in
            for _ in 0..<3 {
                let answer = try await gateway.sendSigned(.GET, "/admin/materialize-failures")
                #expect(answer.status == 403)
            }
            #expect(try await gateway.sendSigned(.GET, "/sync/schema-version").status == 200)
        }
    }
}
