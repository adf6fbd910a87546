import Model

/// Which of a user's devices may read, as far as the primary has said so. A value without a clock.
///
/// Nobody announces that a device is revoked: it is found by asking for all of a user's devices, or
/// for one of them. So an answer holds, for each device by itself, only as long as it was asked for
/// recently.
struct DeviceAccess: Hashable, Sendable {
    typealias Instant = ContinuousClock.Instant

    /// What the primary has said.
    enum Reading: Hashable, Sendable {
        /// This device may read. Nothing is said of others.
        case admits(DeviceID)
        /// All of the user's devices that may read no more.
        case revoked(Set<DeviceID>)
    }

    /// Devices that are known one by one, until all were asked for. Of more, all are forgotten:
    /// each then costs a reading.
    static let maximumAdmitted = 64

    private var revoked: Set<DeviceID> = []
    /// All devices were asked for after this.
    private var asked: Instant?
    /// Devices that were asked for since, each after its time.
    private var admitted: [DeviceID: Instant] = [:]

    /// - Parameter asked: a time before the primary was asked.
    mutating func learn(_ reading: Reading, asked: Instant) {
        switch reading {
        case .admits(let device):
            if admitted.count >= Self.maximumAdmitted { admitted = [:] }
            admitted[device] = max(asked, admitted[device] ?? asked)
        case .revoked(let devices):
            revoked = devices
            confirm(asked)
        }
    }

    /// Nothing was written before this time since all devices were asked for.
    mutating func confirm(_ asked: Instant) {
        self.asked = max(asked, self.asked ?? asked)
        if !admitted.isEmpty { admitted = admitted.filter { $0.value > asked } }
    }

    /// Whether the last reading of all devices had this one among those that may read no more.
    func isRevoked(_ device: DeviceID) -> Bool { revoked.contains(device) }

    /// Whether the primary was asked for the device after `earliest`, and lets it in. One that was
    /// let in again is known to be with the next reading of all devices.
    func admits(_ device: DeviceID, since earliest: Instant) -> Bool {
        guard !revoked.contains(device) else { return false }
        return [asked, admitted[device]].contains { $0.map { $0 > earliest } ?? false }
    }
}
