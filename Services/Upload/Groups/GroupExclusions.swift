import Model

/// Devices whose uploads are written alone for a while, because groups with them have failed.
///
/// A value without a clock.
struct GroupExclusions: Sendable {
    /// How long a device is left out whose upload failed by itself, too.
    static let pauseOfCulprits: Duration = .seconds(60)
    /// How long the devices of a group are left out if each of its uploads went well by itself.
    static let pauseOfAll: Duration = .seconds(1)
    /// Devices that are remembered. Over it no more are left out: groups with them fail once more.
    static let maximumDevices = 10_000

    private struct Device: Hashable {
        let user: UserID
        let device: DeviceID
    }

    private var ends: [Device: ContinuousClock.Instant] = [:]

    /// Devices that are remembered.
    var count: Int { ends.count }

    mutating func exclude(
        _ device: DeviceID, of user: UserID, for pause: Duration, now: ContinuousClock.Instant
    ) {
        if ends.count >= Self.maximumDevices { ends = ends.filter { $0.value > now } }
        guard ends.count < Self.maximumDevices else { return }
        let key = Device(user: user, device: device)
        ends[key] = max(ends[key] ?? now, now + pause)
    }

    func isExcluded(
        _ device: DeviceID, of user: UserID, now: ContinuousClock.Instant
    ) -> Bool {
        ends[Device(user: user, device: device)].map { $0 > now } ?? false
    }
}
