import Model
import Postgres
import WireJSON

/// A device of a user, as the sidecar knows it.
package struct Device: Hashable, Sendable {
    package let user: UserID
    package let device: DeviceID
    /// The greatest change id that it has used; 0: it never uploaded.
    package let lastChangeID: Int64
    /// When it was first heard of, in seconds since 1970.
    package let firstSeen: Int64
    /// When the newest of its changes that are in the log came, in seconds since 1970; nil: there
    /// is none.
    package let lastUpload: Int64?
    /// When it was revoked, in seconds since 1970; nil: it may read and write.
    package let revoked: Int64?
    /// When it last said something of itself, in seconds since 1970; nil: it never did.
    package let reported: Int64?
    /// What it said, as JSON.
    package let report: String?
    /// When a token of it was last rejected, in seconds since 1970, and why.
    package let tokenRejected: Int64?
    package let rejection: String?
    /// The last sequence of its user's log.
    package let logEnd: Int64
}

/// Where a list of devices goes on: they are sorted by user and device.
package struct DevicePlace: Hashable, Sendable {
    package let user: UserID
    package let device: DeviceID

    package init(user: UserID, device: DeviceID) {
        self.user = user
        self.device = device
    }
}

/// What operators ask for and decide about devices.
package enum Devices {
    /// Most devices of one answer.
    package static let maximumPerPage = 1000

    /// Devices in the order of users and devices.
    ///
    /// - Parameters:
    ///   - user: nil lists those of all users.
    ///   - after: the last one of the list before; nil begins.
    ///   - limit: at most ``maximumPerPage``, and one to tell whether others follow.
    package static func list(
        of user: UserID? = nil, after: DevicePlace? = nil, limit: Int,
        on connection: PostgresConnection, deadline: ContinuousClock.Instant? = nil
    ) async throws(PostgresError) -> [Device] {
        let statement = DeviceAdministration.List(
            user: user, device: nil, after: after,
            // One more tells whether others follow.
            limit: min(max(1, limit), maximumPerPage + 1))
        return try await connection.run(statement, deadline: deadline).all()
    }

    /// Takes a device's access away, or gives it back, and records it in the audit.
    ///
    /// A device that never uploaded can be revoked too: it is refused when it comes.
    ///
    /// - Parameter origin: who wants it.
    /// - Returns: the device as it is now; nil if it is to have its access back and is not known.
    package static func setAccess(
        _ mayAccess: Bool, of place: DevicePlace, by origin: AuditOrigin,
        on connection: PostgresConnection, deadline: ContinuousClock.Instant? = nil
    ) async throws(PostgresError) -> Device? {
        var user = Bindings()
        user.bind(place.user.value)
        var change = user
        change.bind(place.device.value)
        let read = DeviceAdministration.List(
            user: place.user, device: place.device, after: nil, limit: 1)
        var pipeline = Pipeline()
        pipeline.add(DeviceAdministration.begin)
        if !mayAccess { pipeline.add(Command(UserScope.create, user)) }
        // Devices get their numbers under the log's lock.
        pipeline.add(Command(UserScope.lock, user))
        let before = pipeline.add(read)
        pipeline.add(
            Command(mayAccess ? DeviceAdministration.restore : DeviceAdministration.revoke, change))
        let after = pipeline.add(read)
        do {
            let results = try await connection.run(pipeline, deadline: deadline)
            let (former, device) = (try results[before].first(), try results[after].first())
            let wasRevoked = former?.revoked != nil
            let isChange = device != nil && wasRevoked == mayAccess
            var end = Pipeline()
            end.add(
                AuditStatements.Append(
                    AuditEntry(
                        mayAccess ? .restoreDevice : .revokeDevice,
                        of: "\(place.user.value)/\(place.device.value)", by: origin,
                        device == nil ? .refused : .done,
                        code: device == nil ? "unknown_device" : isChange ? nil : "unchanged",
                        details: [
                            "user": .string(place.user.value),
                            "device": .string(place.device.value),
                        ])))
            end.add(DeviceAdministration.commit)
            _ = try await connection.run(end, deadline: deadline)
            return device
        } catch {
            try? await connection.execute(script: "ROLLBACK")
            throw error
        }
    }

    /// What is known of a user.
    ///
    /// - Returns: nil for a user that has no log.
    package static func summary(
        of user: UserID, on connection: PostgresConnection,
        deadline: ContinuousClock.Instant? = nil
    ) async throws(PostgresError) -> UserSummary? {
        let statement = DeviceAdministration.ReadUser(user: user)
        return try await connection.run(statement, deadline: deadline).first()
    }

    /// The quotas that Upload was started with last; none if it has not recorded its settings yet.
    package static func quotas(
        on connection: PostgresConnection
    ) async throws(PostgresError) -> UserQuotas {
        try await connection.run(DeviceAdministration.ReadQuotas()).first()
            ?? UserQuotas(rows: nil, bytes: nil, devices: nil)
    }
}

/// What is known of a user.
package struct UserSummary: Hashable, Sendable {
    /// The last sequence of its log.
    package let lastSequence: Int64
    /// Changes at and before it were compacted away; 0: none.
    package let floor: Int64
    package let devices: Int64
    package let revokedDevices: Int64
    /// Changes that a table has refused and that nothing has settled since.
    package let rejectedChanges: Int64
    /// That are not deleted.
    package let rows: Int64
    /// There may be more rows: no more were counted.
    package let hasMoreRows: Bool
    /// That the rows count with in the user's quota; nil while they are not counted to the end.
    package let bytes: Int64?
    /// The same as it was counted last; nil if it never was.
    package let countedBytes: Int64?
    /// The last sequence that was counted; nil without a count.
    package let countedSequence: Int64?
}

/// How much each user may have; nil: any amount.
package struct UserQuotas: Hashable, Sendable {
    /// The settings of Upload, as `sync.quotas` names them.
    package static let rowsKey = "OVERSYNC_QUOTA_ROWS"
    package static let bytesKey = "OVERSYNC_QUOTA_BYTES"
    package static let devicesKey = "OVERSYNC_QUOTA_DEVICES"

    package let rows: Int64?
    package let bytes: Int64?
    package let devices: Int64?
}
