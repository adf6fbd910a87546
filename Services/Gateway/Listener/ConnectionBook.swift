import Model
import Waiting

/// The connections that are open, and which of them goes when there are too many. Decides; performs
/// nothing.
///
/// A connection is silent until a request came by it whose token was good. Silent ones are closed
/// first, the oldest before the others: a client that opens connections and sends nothing locks
/// no one out, from the same address or another.
struct ConnectionBook: Sendable {
    typealias ID = Int

    struct Limits: Hashable, Sendable {
        let total: Int
        /// 0: no limit.
        let perAddress: Int
        /// Connections of one user that are not silent. Over it the user's oldest counts as silent
        /// again: a token is no licence to lock the others out.
        let perUser: Int

        /// A user's part of all connections, when there are not enough.
        private static let userPart = 20
        /// What every user may have.
        private static let leastPerUser = 16

        init(total: Int, perAddress: Int, perUser: Int? = nil) {
            self.total = total
            self.perAddress = perAddress
            self.perUser = perUser ?? max(Self.leastPerUser, total / Self.userPart)
        }
    }

    /// What becomes of a new connection.
    enum Verdict: Hashable {
        case stays
        /// It stays, and this one is closed for it.
        case replaces(ID)
        /// It is closed: no connection is silent.
        case refused
    }

    private struct Connection {
        let address: PeerAddress
        /// Whose token was good, while that counts.
        var user: UserID?
        /// Its place in the lists that it is in: a fresh one each time that it joins others.
        var place: Int
    }

    private struct Address {
        var count = 0
        var silent = WaitList<Void>()
    }

    private let limits: Limits
    private var connections: [ID: Connection] = [:]
    private var silent = WaitList<Void>()
    private var addresses: [PeerAddress: Address] = [:]
    /// Each user's connections that are not silent.
    private var users: [UserID: WaitList<Void>] = [:]
    /// The connections by their places.
    private var places: [Int: ID] = [:]
    private var lastID = 0
    private var lastPlace = 0

    init(_ limits: Limits) {
        self.limits = limits
    }

    var count: Int { connections.count }
    /// Addresses with a connection.
    var addressCount: Int { addresses.count }

    /// A connection has come. One that is refused, or closed for another, is forgotten at once.
    mutating func open(from address: PeerAddress) -> (id: ID, verdict: Verdict) {
        lastID += 1
        let id = lastID
        let ofAddress = addresses[address]?.count ?? 0
        var victim: Int?
        if limits.perAddress > 0, ofAddress >= limits.perAddress {
            // Within the address, which leaves the others alone.
            victim = addresses[address]?.silent.popFirst()
            guard victim != nil else { return (id, .refused) }
        } else if count >= limits.total {
            victim = silent.popFirst()
            guard victim != nil else { return (id, .refused) }
        }
        let replaced = victim.flatMap { places[$0] }
        if let replaced { close(replaced) }
        connections[id] = Connection(address: address, place: 0)
        addresses[address, default: Address()].count += 1
        beSilent(id)
        return (id, replaced.map { .replaces($0) } ?? .stays)
    }

    /// The system has no file for a further connection.
    ///
    /// - Returns: the connection that goes, and is forgotten; nil if none is silent.
    mutating func makeRoom() -> ID? {
        guard let victim = silent.popFirst().flatMap({ places[$0] }) else { return nil }
        close(victim)
        return victim
    }

    /// A request came by it with a good token.
    ///
    /// - Returns: the connection of the user that counts as silent from now on.
    @discardableResult
    mutating func prove(_ id: ID, user: UserID) -> ID? {
        guard let connection = connections[id], connection.user == nil else { return nil }
        leaveLists(connection)
        connections[id]?.user = user
        let place = takePlace(id)
        users[user, default: WaitList()].append(place, ())
        guard let own = users[user]?.count, own > limits.perUser,
            let oldest = users[user]?.popFirst().flatMap({ places[$0] })
        else { return nil }
        beSilent(oldest)
        return oldest
    }

    /// A connection has ended; nothing happens if it is forgotten.
    mutating func close(_ id: ID) {
        guard let connection = connections.removeValue(forKey: id) else { return }
        leaveLists(connection)
        places[connection.place] = nil
        // In place: a copy of an address's list would cost as much as it has connections.
        addresses[connection.address]?.count -= 1
        if addresses[connection.address]?.count == 0 { addresses[connection.address] = nil }
    }

    private mutating func leaveLists(_ connection: Connection) {
        _ = silent.remove(connection.place)
        _ = addresses[connection.address]?.silent.remove(connection.place)
        if let user = connection.user {
            _ = users[user]?.remove(connection.place)
            if users[user]?.isEmpty == true { users[user] = nil }
        }
    }

    private mutating func beSilent(_ id: ID) {
        connections[id]?.user = nil
        guard let address = connections[id]?.address else { return }
        let place = takePlace(id)
        silent.append(place, ())
        addresses[address]?.silent.append(place, ())
    }

    /// A place after all others.
    private mutating func takePlace(_ id: ID) -> Int {
        if let former = connections[id]?.place { places[former] = nil }
        lastPlace += 1
        connections[id]?.place = lastPlace
        places[lastPlace] = id
        return lastPlace
    }
}
