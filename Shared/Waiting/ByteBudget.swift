import Model
import Synchronization

/// The bytes that a process holds for its users at once: a total, and each user's share of it.
///
/// One user's bodies, however many connections bring them, leave room for those of the others.
package final class ByteBudget: Sendable {
    /// Why bytes do not fit.
    package enum Excess: Error, Equatable {
        /// The user holds its share already.
        case share
        /// All users together leave too little.
        case total
    }

    /// The part of what other users leave that one user may have: this fraction.
    package static let part = 4
    /// The same for a request of a user that holds nothing else.
    static let firstPart = 2

    private let held: Mutex<HeldShares>

    /// Bytes of all users together.
    package let total: Int
    /// Most bytes of one user. It may have fewer while others hold theirs.
    package let share: Int

    /// - Parameters:
    ///   - total: bytes of all users together.
    ///   - share: bytes of one user.
    package init(total: Int, share: Int) {
        self.total = total
        self.share = min(share, total)
        held = Mutex(HeldShares(total: total, share: min(share, total)))
    }

    /// Bytes that are held now.
    package var inUse: Int { held.withLock { $0.inUse } }

    /// Bytes that one user holds now.
    package func inUse(by user: UserID) -> Int { held.withLock { $0.inUse(by: user) } }

    /// Takes bytes until the reservation goes.
    package func reserve(_ bytes: Int, for user: UserID) throws(Excess) -> Reservation {
        let reservation = open(for: user)
        try reservation.hold(bytes)
        return reservation
    }

    /// A reservation of nothing yet.
    package func open(for user: UserID) -> Reservation {
        Reservation(budget: self, user: user)
    }

    /// Bytes of one user, given back when this goes. For one caller at a time.
    package final class Reservation: Sendable {
        private let budget: ByteBudget
        private let user: UserID
        private let bytes = Atomic(0)

        fileprivate init(budget: ByteBudget, user: UserID) {
            self.budget = budget
            self.user = user
        }

        /// Changes how many bytes are held.
        ///
        /// - Parameters:
        ///   - expected: bytes that it is to grow to, which must fit now; they are not held.
        ///   - room: the same for what comes later. It is not asked of a user that holds nothing
        ///     else.
        /// - Throws: `Excess` if they are more and do not fit; then as many are held as before.
        package func hold(_ count: Int, expected: Int = 0, room: Int = 0) throws(Excess) {
            let (before, after) = (bytes.load(ordering: .relaxed), max(0, count))
            guard max(after, expected, room) > before else { return holdAnyway(count) }
            try budget.held.withLock { held throws(Excess) in
                try held.check(
                    from: before, to: max(after, expected), room: room, for: user)
                held.change(by: after - before, for: user)
            }
            bytes.store(after, ordering: .relaxed)
        }

        /// The same for bytes that are there already, whether they fit or not.
        package func holdAnyway(_ count: Int) {
            let (before, after) = (bytes.load(ordering: .relaxed), max(0, count))
            guard after != before else { return }
            budget.held.withLock { $0.change(by: after - before, for: user) }
            bytes.store(after, ordering: .relaxed)
        }

        deinit { holdAnyway(0) }
    }
}

/// Who holds how many bytes, and who may have more. Decides; performs nothing.
///
/// The fuller the total is, the less of it each user may have: what one takes depends on what the
/// others leave. So users that take whatever they get take ever smaller parts, and something is
/// left for the next one. A user's first request has a larger part than its further ones.
struct HeldShares {
    let total: Int
    let share: Int
    private(set) var inUse = 0
    private var users: [UserID: Int] = [:]

    init(total: Int, share: Int) {
        self.total = total
        self.share = share
    }

    func inUse(by user: UserID) -> Int { users[user] ?? 0 }

    /// Whether a user's reservation may grow.
    ///
    /// The only reservation of a user may exceed its share, and the only one of all may exceed the
    /// total: a body that is within the limits of the protocol is never refused for ever.
    ///
    /// - Parameter room: see `ByteBudget.Reservation.hold(_:expected:room:)`.
    func check(
        from before: Int, to after: Int, room: Int, for user: UserID
    ) throws(ByteBudget.Excess) {
        let own = inUse(by: user)
        let (elsewhere, left) = (own - before, total - (inUse - own))
        if elsewhere > 0 {
            let most = min(share, left / ByteBudget.part)
            if elsewhere + max(after, room) > most { throw .share }
        } else if left < total, after > left / ByteBudget.firstPart {
            throw .total
        }
    }

    mutating func change(by count: Int, for user: UserID) {
        inUse += count
        let own = inUse(by: user) + count
        users[user] = own > 0 ? own : nil
    }
}
