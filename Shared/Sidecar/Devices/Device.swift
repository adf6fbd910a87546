import Model
import Postgres

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
    ///   - limit: at most ``maximumPerPage``.
    package static func list(
        of user: UserID? = nil, after: DevicePlace? = nil, limit: Int,
        on connection: PostgresConnection, deadline: ContinuousClock.Instant? = nil
    ) async throws(PostgresError) -> [Device] {
        let statement = DeviceAdministration.List(
            user: user, device: nil, after: after, limit: min(max(1, limit), maximumPerPage))
        return try await connection.run(statement, deadline: deadline).all()
    }

    /// Takes a device's access away, or gives it back. Recorded in `sync.audit`.
    ///
    /// A device that never uploaded can be revoked too: it is refused when it comes.
    ///
    /// - Parameters:
    ///   - actor: who wants it, for the record; nil: the session's role.
    /// - Returns: the device as it is now; nil if it is to have its access back and is not known.
    package static func setAccess(
        _ mayAccess: Bool, of place: DevicePlace, by actor: String? = nil,
        on connection: PostgresConnection, deadline: ContinuousClock.Instant? = nil
    ) async throws(PostgresError) -> Device? {
        var user = Bindings()
        user.bind(place.user.value)
        var change = user
        change.bind(place.device.value)
        change.bind(actor)
        var pipeline = Pipeline()
        pipeline.add(DeviceAdministration.begin)
        if !mayAccess { pipeline.add(Command(DeviceAdministration.createScope, user)) }
        // Devices get their numbers under the log's lock.
        pipeline.add(Command(DeviceAdministration.lockScope, user))
        pipeline.add(
            Command(mayAccess ? DeviceAdministration.restore : DeviceAdministration.revoke, change))
        let device = pipeline.add(
            DeviceAdministration.List(user: place.user, device: place.device, after: nil, limit: 1))
        pipeline.add(DeviceAdministration.commit)
        do {
            return try await connection.run(pipeline, deadline: deadline)[device].first()
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
        try await connection.run(DeviceAdministration.ReadUser(user: user), deadline: deadline).first()
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
}
