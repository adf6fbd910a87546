import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Protos
import RPC
import Testing

@testable import Gateway

/// What devices say of themselves goes on to Upload, and holds nothing up.
@Suite(.timeLimit(.minutes(1)))
struct DeviceReportsTests {
    private typealias Seen = ForwardingTests.Seen

    private struct Services {
        let pushes = Seen<PushChangesRequest>()
        let reports = Seen<ReportDeviceRequest>()

        var routers: [String: RPCRouter] {
            var (upload, download) = (RPCRouter(), RPCRouter())
            upload.on(UploadRPC.pushChanges) { [pushes] request, body, context in
                pushes.add(request, body, context)
                return RPCReply(PushChangesReply(), body: ByteBuffer(string: "{}"))
            }
            upload.on(UploadRPC.reportDevice) { [reports] request, body, context in
                reports.add(request, body, context)
                return RPCReply(ReportDeviceReply())
            }
            upload.on(UploadRPC.listFailures) { _, _, _ in RPCReply(ListFailuresReply()) }
            download.on(DownloadRPC.pullChanges) { _, _, _ in
                throw RPCFailure(.conflict, code: "epoch_changed", message: "as asked")
            }
            return ["upload": upload, "download": download]
        }
    }

    @Test func `a report goes with an upload, or by itself with another request, answered or not`()
        async throws
    {
        let services = Services()
        try await withGateway(upstreams: services.routers) { gateway in
            let report: HTTPHeaders = ["Oversync-Report": "pending=3"]
            let push = try await gateway.sendSigned(
                .POST, "/sync/upload", headers: report, body: .bytes(ByteBuffer(string: "{}")))
            #expect(push.status == 200)
            #expect(services.pushes.all.map(\.0.report) == ["pending=3"])
            let pull = try await gateway.sendSigned(
                .GET, "/sync/download", headers: ["Oversync-Report": "held=1"])
            #expect(pull.status == 409)
            try await eventually { services.reports.all.count == 1 }
            let (request, _, context) = try #require(services.reports.all.first)
            #expect(request.report == "held=1" && request.rejection.isEmpty)
            #expect(context.caller?.user == "user-1" && context.caller?.device == "device-1")
            // None, an empty one, and one of an administrator, who is no device.
            _ = try await gateway.sendSigned(.GET, "/sync/schema-version")
            _ = try await gateway.sendSigned(
                .GET, "/sync/schema-version", headers: ["Oversync-Report": ""])
            let root = try await RunningGateway.token(roles: ["admin"])
            let list = try await gateway.sendSigned(
                .GET, "/admin/materialize-failures",
                headers: ["Authorization": "Bearer \(root)", "Oversync-Report": "held=2"])
            #expect(list.status == 200)
            // One that is too long is not carried on, and no upload fails for it.
            let long = String(repeating: "x", count: 1025)
            let late = try await gateway.sendSigned(
                .POST, "/sync/upload", headers: ["Oversync-Report": long],
                body: .bytes(ByteBuffer(string: "{}")))
            #expect(late.status == 200)
            #expect(services.pushes.all.last?.0.report == "too long")
            _ = try await gateway.sendSigned(
                .GET, "/sync/schema-version", headers: ["Oversync-Report": "held=3"])
            try await eventually { services.reports.all.last?.0.report == "held=3" }
            #expect(services.reports.all.count == 2)
        }
    }

    @Test func `of a device whose token has expired Upload is told once, of forged ones never`()
        async throws
    {
        let services = Services()
        try await withGateway(upstreams: services.routers) { gateway in
            func ask(_ token: String) async throws {
                let answer = try await gateway.sendSigned(
                    .GET, "/sync/schema-version", headers: ["Authorization": "Bearer \(token)"])
                #expect(answer.status == 401)
            }
            let forged = try await RunningGateway.token(user: "eve", lifetime: -100) + "x"
            try await ask(forged)
            let expired = try await RunningGateway.token(user: "ann", lifetime: -100)
            for _ in 1...3 { try await ask(expired) }
            let other = try await RunningGateway.token(user: "bob", lifetime: -100)
            try await ask(other)
            try await eventually { services.reports.all.count >= 2 }
            let told = services.reports.all.map { ($0.2.caller?.user, $0.0.rejection) }
            #expect(told.map(\.0) == ["ann", "bob"])
            #expect(told.map(\.1) == ["expired", "expired"])
        }
    }

    @Test func `an Upload that does not know reports loses them, and requests go on`() async throws
    {
        var upload = RPCRouter()
        upload.on(UploadRPC.pushChanges) { _, _, _ in
            RPCReply(PushChangesReply(), body: ByteBuffer(string: "{}"))
        }
        try await withGateway(upstreams: ["upload": upload]) { gateway in
            let answer = try await gateway.sendSigned(
                .GET, "/sync/schema-version", headers: ["Oversync-Report": "held=1"])
            #expect(answer.status == 200)
            try await eventually { gateway.counted("oversync_gateway_lost_reports_total") == 1 }
        }
    }
}
