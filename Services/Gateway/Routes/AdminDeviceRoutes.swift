import Foundation
import HTTPTypes
import Hummingbird
import Protos
import RPC
import WireJSON

/// What administrators see of users and devices, and whom they let in.
struct AdminDeviceRoutes: Sendable {
    /// Devices listed when no number is given.
    private static let defaultLimit = 100
    private static let maximumLimit = 1000
    /// Longest body, in bytes.
    private static let maximumBodyBytes = 4096

    let upload: RPCClient
    let work: LongWork

    var routes: [Route] {
        [
            Route(.get, "/admin/devices", for: .administrators) { try await list($0, $1) },
            Route(.post, "/admin/devices/revoke", for: .administrators) {
                try await setAccess(false, $0, $1)
            },
            Route(.post, "/admin/devices/restore", for: .administrators) {
                try await setAccess(true, $0, $1)
            },
            Route(.get, "/admin/users", for: .administrators) { try await show($0, $1) },
        ]
    }

    private func list(_ request: Request, _ scope: RequestScope) async throws -> Response {
        let parameters = request.uri.queryParameters
        var message = ListDevicesRequest()
        message.user = parameters["user"].map(String.init) ?? ""
        message.afterUser = parameters["after_user"].map(String.init) ?? ""
        message.afterDevice = parameters["after_device"].map(String.init) ?? ""
        for text in [message.user, message.afterUser, message.afterDevice]
        where text.contains("\0") {
            throw WireError.invalid("a parameter must be text without the character NUL")
        }
        let limit = parameters["limit"].map { Int($0) } ?? Self.defaultLimit
        guard let limit, (1...Self.maximumLimit).contains(limit) else {
            throw WireError.invalid("limit must be between 1 and \(Self.maximumLimit)")
        }
        // One more tells whether others follow.
        message.limit = Int32(limit + 1)
        let reply = try await upload.call(
            UploadRPC.listDevices, message, context: scope.context())
        let devices = reply.message.devices
        return .json(
            .ok,
            [
                "devices": .array(devices.prefix(limit).map(Self.document)),
                "has_more": .bool(devices.count > limit),
            ])
    }

    private static func document(_ device: DeviceRecord) -> JSONDocument {
        [
            "user_id": .string(device.user), "source_id": .string(device.device),
            "last_change_id": .integer(device.lastChangeID),
            "first_seen": .string(time(device.firstSeen)),
            "last_upload": device.lastUpload == 0 ? nil : .string(time(device.lastUpload)),
            "revoked": device.revoked == 0 ? nil : .string(time(device.revoked)),
            "log_end": .integer(device.logEnd),
            "reported": device.reported == 0 ? nil : .string(time(device.reported)),
            "report": device.report.isEmpty ? nil : .written(device.report),
            "token_rejected":
                device.tokenRejected == 0 ? nil : .string(time(device.tokenRejected)),
            "rejection": device.rejection.isEmpty ? nil : .string(device.rejection),
        ]
    }

    /// - Parameter seconds: since 1970.
    private static func time(_ seconds: Int64) -> String {
        Date(timeIntervalSince1970: TimeInterval(seconds)).formatted(.iso8601)
    }

    private struct Target: Decodable {
        let user_id: String
        let source_id: String
    }

    private func setAccess(
        _ mayAccess: Bool, _ request: Request, _ scope: RequestScope
    ) async throws -> Response {
        let bodies = BodyReader(maximumBytes: Self.maximumBodyBytes, work: work)
        let body = try await bodies.body(of: request, scope)
        guard
            let target = try? JSONDecoder().decode(
                Target.self, from: Data(body.readableBytesView))
        else {
            throw WireError.invalid(#"the body must be {"user_id": "…", "source_id": "…"}"#)
        }
        var message = SetDeviceAccessRequest()
        message.user = target.user_id
        message.device = target.source_id
        message.mayAccess = mayAccess
        let reply = try await upload.call(
            UploadRPC.setDeviceAccess, message, context: scope.context())
        return .json(.ok, Self.document(reply.message.device))
    }

    private func show(_ request: Request, _ scope: RequestScope) async throws -> Response {
        guard let user = request.uri.queryParameters["user"], !user.isEmpty, !user.contains("\0")
        else { throw WireError.invalid("user must name one") }
        var message = ShowUserRequest()
        message.user = String(user)
        let summary = try await upload.call(
            UploadRPC.showUser, message, context: scope.context()
        ).message
        return .json(
            .ok,
            [
                "user_id": .string(message.user),
                "highest_server_seq": .integer(summary.lastSequence),
                "floor": .integer(summary.floor), "devices": .integer(summary.devices),
                "revoked_devices": .integer(summary.revokedDevices),
                "rejected_changes": .integer(summary.rejectedChanges),
                "rows": .integer(summary.rows),
                "more_rows": summary.moreRows ? .bool(true) : nil,
                "bytes": summary.isCounted ? .integer(summary.bytes) : nil,
                "quota": Self.quota(summary),
            ])
    }

    /// What the user may have, as far as it is limited; absent where nothing is.
    private static func quota(_ summary: ShowUserReply) -> JSONDocument? {
        let limits: [(name: String, value: Int64)] = [
            ("rows", summary.rowQuota), ("bytes", summary.byteQuota),
            ("devices", summary.deviceQuota),
        ]
        let set = limits.filter { $0.value > 0 }
        return set.isEmpty ? nil : .object(set.map { ($0.name, .integer($0.value)) })
    }
}
