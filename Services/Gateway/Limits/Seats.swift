import Model

/// Who waits at once, within limits of all, of each user and of each device. Decides; performs
/// nothing.
struct Seats: Sendable {
    typealias ID = Int

    /// How many may wait at once.
    struct Limits: Hashable, Sendable {
        let total: Int
        let perUser: Int
        let perDevice: Int
    }

    /// Which limit leaves no seat.
    enum Full: Error, Hashable {
        case user, total
    }

    /// A seat that was taken, and the one that was given up for it.
    struct Taken: Hashable {
        let id: ID
        var replaced: ID?
    }

    private struct Device: Hashable {
        let user: UserID
        let device: DeviceID
    }

    private let limits: Limits
    private var seats: [ID: Device] = [:]
    /// The oldest first.
    private var devices: [Device: [ID]] = [:]
    private var users: [UserID: Int] = [:]
    private var lastID = 0

    init(_ limits: Limits) {
        self.limits = limits
    }

    /// Seats that are taken.
    var count: Int { seats.count }

    func isTaken(_ id: ID) -> Bool { seats[id] != nil }

    /// Takes a seat.
    ///
    /// A device that has all its seats gives up its oldest. After a change of networks the gateway
    /// may not know yet that the device's former connections are dead, and must let it in.
    mutating func take(user: UserID, device: DeviceID) throws(Full) -> Taken {
        let device = Device(user: user, device: device)
        var replaced: ID?
        if let own = devices[device], own.count >= limits.perDevice { replaced = own.first }
        if replaced == nil {
            if users[user, default: 0] >= limits.perUser { throw .user }
            if seats.count >= limits.total { throw .total }
        }
        if let replaced { leave(replaced) }
        lastID += 1
        seats[lastID] = device
        devices[device, default: []].append(lastID)
        users[user, default: 0] += 1
        return Taken(id: lastID, replaced: replaced)
    }

    /// Gives a seat back; nothing happens if it was given up before.
    mutating func leave(_ id: ID) {
        guard let device = seats.removeValue(forKey: id) else { return }
        devices[device]?.removeAll { $0 == id }
        if devices[device]?.isEmpty == true { devices[device] = nil }
        let left = users[device.user, default: 0] - 1
        users[device.user] = left > 0 ? left : nil
    }
}
