import DatabaseKit
import Model
import Postgres
import Protos
import RPC
import Sidecar

/// The `ListDevices`, `SetDeviceAccess` and `ShowUser` calls.
struct AdministerDevices: Sendable {
    let pool: PostgresPool
    let administrators: Administrators
    let quotas: Quotas

    func list(
        _ request: ListDevicesRequest, _ context: CallContext
    ) async throws -> RPCReply<ListDevicesReply> {
        _ = try administrators.admit(context)
        let user = request.user.isEmpty ? nil : UserID(request.user)
        let after = DevicePlace(
            user: UserID(request.afterUser), device: DeviceID(request.afterDevice))
        return try await withConnection(context) { connection in
            var reply = ListDevicesReply()
            reply.devices = try await Devices.list(
                of: user, after: after, limit: Int(request.limit), on: connection,
                deadline: context.deadline
            ).map(Self.record)
            return RPCReply(reply)
        }
    }

    func setAccess(
        _ request: SetDeviceAccessRequest, _ context: CallContext
    ) async throws -> RPCReply<SetDeviceAccessReply> {
        _ = try administrators.admit(context)
        let origin = try context.origin()
        guard isIdentity(request.user), isIdentity(request.device) else {
            throw RPCFailure(
                .invalidArgument, code: "invalid_request",
                message: "user and device must have 1 to \(WireLimits.maximumIdentityBytes) bytes "
                    + "and no control characters")
        }
        let place = DevicePlace(user: UserID(request.user), device: DeviceID(request.device))
        return try await withConnection(context) { connection in
            let device = try await Devices.setAccess(
                request.mayAccess, of: place, by: origin, on: connection,
                deadline: context.deadline)
            guard let device else {
                throw RPCFailure(
                    .notFound, code: "unknown_device", message: "The user has no such device")
            }
            var reply = SetDeviceAccessReply()
            reply.device = Self.record(device)
            return RPCReply(reply)
        }
    }

    func show(
        _ request: ShowUserRequest, _ context: CallContext
    ) async throws -> RPCReply<ShowUserReply> {
        _ = try administrators.admit(context)
        return try await withConnection(context) { connection in
            let summary = try await Devices.summary(
                of: UserID(request.user), on: connection, deadline: context.deadline)
            guard let summary else {
                throw RPCFailure(
                    .notFound, code: "unknown_user",
                    message: "No device of the user has uploaded, was named or revoked")
            }
            var reply = ShowUserReply()
            reply.lastSequence = summary.lastSequence
            reply.floor = summary.floor
            reply.devices = summary.devices
            reply.revokedDevices = summary.revokedDevices
            reply.rejectedChanges = summary.rejectedChanges
            reply.rows = summary.rows
            reply.moreRows = summary.hasMoreRows
            reply.isCounted = summary.bytes != nil
            reply.bytes = summary.bytes ?? 0
            reply.rowQuota = quotas.rows ?? 0
            reply.byteQuota = quotas.bytes ?? 0
            reply.deviceQuota = quotas.devices ?? 0
            return RPCReply(reply)
        }
    }

    private func withConnection<R: Sendable>(
        _ context: CallContext, _ body: @Sendable (PostgresConnection) async throws -> R
    ) async throws -> R {
        do {
            return try await pool.withConnection(deadline: context.deadline, body)
        } catch let error as PostgresError {
            throw DatabaseFailures.upload.failure(of: error)
        }
    }

    private static func record(_ device: Device) -> DeviceRecord {
        var record = DeviceRecord()
        record.user = device.user.value
        record.device = device.device.value
        record.lastChangeID = device.lastChangeID
        record.firstSeen = device.firstSeen
        record.lastUpload = device.lastUpload ?? 0
        record.revoked = device.revoked ?? 0
        record.reported = device.reported ?? 0
        record.report = device.report ?? ""
        record.tokenRejected = device.tokenRejected ?? 0
        record.rejection = device.rejection ?? ""
        record.logEnd = device.logEnd
        return record
    }
}
