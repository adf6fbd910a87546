import Model

/// Devices whose uploads are written alone for a while, and users without groups for a while,
/// because groups with them have failed.
///
/// A value without a clock.
struct GroupExclusions: Sendable {
    /// How long a device is left out whose upload failed by itself, too.
    static let pauseOfCulprits: Duration = .seconds(60)
    /// How long a user has no groups after one failed though each of its uploads went well by
    /// itself. Twice as long each time, as while the database is slow, until a group goes well.
    static let firstPause: Duration = .seconds(1)
    static let longestPause: Duration = .seconds(60)
    /// Devices of one user that are remembered. Over it no more are left out: groups with them fail
    /// once more.
    static let maximumDevicesPerUser = 64
    /// Users of whom something is remembered. Over it the same holds for those of all others.
    static let maximumUsers = 2_000

    private typealias Instant = ContinuousClock.Instant

    /// What is remembered of a user.
    private struct User {
        /// When each device that is left out may be in a group again.
        var devices: [DeviceID: Instant] = [:]
        var lastPause: Duration?
        var pauseEnd: Instant?

        /// Forgets devices whose time is over.
        mutating func purge(_ now: Instant) { devices = devices.filter { $0.value > now } }

        func isOver(_ now: Instant) -> Bool {
            devices.isEmpty && (pauseEnd ?? now) <= now
        }
    }

    private var users: [UserID: User] = [:]

    /// Devices that are remembered.
    var count: Int { users.values.reduce(0) { $0 + $1.devices.count } }

    mutating func exclude(
        _ device: DeviceID, of user: UserID, for pause: Duration, now: ContinuousClock.Instant
    ) {
        guard var known = known(user, now) else { return }
        let end = known.devices[device]
        if end == nil, known.devices.count >= Self.maximumDevicesPerUser { known.purge(now) }
        guard end != nil || known.devices.count < Self.maximumDevicesPerUser else { return }
        known.devices[device] = max(end ?? now, now + pause)
        users[user] = known
    }

    /// A group of the user has failed, and nobody is to blame.
    mutating func pause(_ user: UserID, now: ContinuousClock.Instant) {
        guard var known = known(user, now) else { return }
        let pause = known.lastPause.map { min($0 * 2, Self.longestPause) } ?? Self.firstPause
        known.lastPause = pause
        known.pauseEnd = max(known.pauseEnd ?? now, now + pause)
        users[user] = known
    }

    /// A group of the user went well.
    mutating func noteWritten(of user: UserID) {
        guard users[user]?.lastPause != nil else { return }
        users[user]?.lastPause = nil
        users[user]?.pauseEnd = nil
    }

    func isExcluded(
        _ device: DeviceID, of user: UserID, now: ContinuousClock.Instant
    ) -> Bool {
        guard let known = users[user] else { return false }
        return known.pauseEnd.map { $0 > now } ?? false
            || known.devices[device].map { $0 > now } ?? false
    }

    /// What is remembered of a user; nil if there is no room for it.
    private mutating func known(_ user: UserID, _ now: Instant) -> User? {
        if let known = users[user] { return known }
        if users.count >= Self.maximumUsers {
            for name in users.keys { users[name]?.purge(now) }
            users = users.filter { !$0.value.isOver(now) }
        }
        return users.count < Self.maximumUsers ? User() : nil
    }
}
