import NIOHTTP1
import Protos
import RPC
import ServiceKit
import ServiceLifecycle
import Testing

@testable import Gateway

/// Administrators have a port of their own, if it is set.
@Suite("The administrators' port") struct AdminDoorTests {
    private static var upstreams: [String: RPCRouter] {
        var upload = RPCRouter()
        upload.on(UploadRPC.listDevices) { _, _, _ in RPCReply(ListDevicesReply()) }
        return ["upload": upload]
    }

    private static func ask(
        _ path: String, _ gateway: RunningGateway, at port: Int, roles: [String] = ["admin"]
    ) async throws -> Int {
        let token = try await RunningGateway.token(roles: roles)
        return try await gateway.send(
            .GET, path, headers: ["Authorization": "Bearer \(token)"], at: port
        ).status
    }

    @Test("It serves /admin and the probes alone; the devices' port serves /admin as it is told")
    func doors() async throws {
        for (only, status) in [("false", 200), ("true", 404)] {
            let settings = [
                "OVERSYNC_GATEWAY_ADMIN_PORT": "0", "OVERSYNC_GATEWAY_ADMIN_ONLY": only,
            ]
            try await withGateway(settings, upstreams: Self.upstreams) { gateway in
                let door = try #require(gateway.adminPort)
                let refused = try await Self.ask(
                    "/admin/devices", gateway, at: door, roles: ["editor"])
                #expect(refused == 403)
                var found: [Int] = []
                for path in [
                    "/admin/devices", "/health", "/sync/capabilities", "/sync/download",
                    "/openapi.yaml",
                ] { found.append(try await Self.ask(path, gateway, at: door)) }
                #expect(found == [200, 200, 404, 404, 404])
                found = []
                for path in ["/admin/devices", "/health"] {
                    found.append(try await Self.ask(path, gateway, at: gateway.port))
                }
                #expect(found == [status, 200])
            }
        }
    }

    @Test("There is none unless it is set, and both drain")
    func drains() async throws {
        try await withGateway(upstreams: Self.upstreams) { gateway in
            #expect(gateway.adminPort == nil)
            let status = try await Self.ask("/admin/devices", gateway, at: gateway.port)
            #expect(status == 200)
        }
        try await withGateway(["OVERSYNC_GATEWAY_ADMIN_PORT": "0"], upstreams: Self.upstreams) {
            gateway in
            let door = try #require(gateway.adminPort)
            let status = try await Self.ask("/admin/devices", gateway, at: door)
            #expect(status == 200)
            await gateway.group.triggerGracefulShutdown()
            await gateway.ended.wait()
        }
    }

    @Test(
        "An operator hears of doors that are open twice, or nowhere",
        arguments: [
            ([:], nil), (["OVERSYNC_GATEWAY_ADMIN_PORT": "1"], "serves /admin, too"),
            (
                [
                    "OVERSYNC_GATEWAY_ADMIN_PORT": "1", "OVERSYNC_GATEWAY_ADMIN_ONLY": "true",
                ], nil
            ),
            (
                [
                    "OVERSYNC_GATEWAY_ADMIN_PORT": "1", "OVERSYNC_GATEWAY_ADMIN_ONLY": "false",
                ], nil
            ), (["OVERSYNC_GATEWAY_ADMIN_ONLY": "true"], "served nowhere"),
        ] as [([String: String], String?)])
    func warnings(_ settings: [String: String], _ wanted: String?) {
        let warnings = AdminDoor.warnings(Configuration(environment: settings))
        #expect(warnings.count == (wanted == nil ? 0 : 1))
        if let wanted { #expect(warnings.first?.contains(wanted) == true) }
    }
}
