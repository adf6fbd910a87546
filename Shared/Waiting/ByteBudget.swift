import Synchronization

/// The bytes that a process holds for its users at once: a total, and each user's share of it.
///
/// One user's bodies, however many connections bring them, leave room for those of the others.
package final class ByteBudget: Sendable {
    /// Why bytes do not fit.
    package enum Excess: Error, Equatable {
        /// The user holds its share already.
        case share
        /// All users together hold the total.
        case total
    }

    private struct Held {
        var total = 0
        var users: [String: Int] = [:]

        mutating func change(by count: Int, for user: String) {
            total += count
            let own = (users[user] ?? 0) + count
            users[user] = own > 0 ? own : nil
        }
    }

    /// Bytes of all users together.
    package let total: Int
    /// Bytes of one user.
    package let share: Int
    private let held = Mutex(Held())

    /// - Parameters:
    ///   - total: bytes of all users together.
    ///   - share: bytes of one user.
    package init(total: Int, share: Int) {
        self.total = total
        self.share = min(share, total)
    }

    /// Bytes that are held now.
    package var inUse: Int { held.withLock { $0.total } }

    /// Bytes that one user holds now.
    package func inUse(by user: String) -> Int { held.withLock { $0.users[user] ?? 0 } }

    /// Takes bytes until the reservation goes.
    ///
    /// The only reservation of a user may exceed its share, and the only one of all may exceed the
    /// total: a body that is within the limits of the protocol is never refused for ever.
    package func reserve(_ bytes: Int, for user: String) throws(Excess) -> Reservation {
        let reservation = open(for: user)
        try reservation.hold(bytes)
        return reservation
    }

    /// A reservation of nothing yet.
    package func open(for user: String) -> Reservation {
        Reservation(budget: self, user: user)
    }

    /// Bytes of one user, given back when this goes.
    package final class Reservation: Sendable {
        private let budget: ByteBudget
        private let user: String
        private let bytes = Mutex(0)

        fileprivate init(budget: ByteBudget, user: String) {
            self.budget = budget
            self.user = user
        }

        /// Changes how many bytes are held.
        ///
        /// - Parameter room: bytes that must fit as well, for what is to come; they are not held.
        /// - Throws: `Excess` if they are more and do not fit; then as many are held as before.
        package func hold(_ count: Int, room: Int = 0) throws(Excess) {
            try bytes.withLock { bytes throws(Excess) in
                try budget.change(from: bytes, to: max(0, count), room: room, for: user)
                bytes = max(0, count)
            }
        }

        /// The same for bytes that are there already, whether they fit or not.
        package func holdAnyway(_ count: Int) {
            bytes.withLock { bytes in
                budget.changeAnyway(from: bytes, to: max(0, count), for: user)
                bytes = max(0, count)
            }
        }

        deinit {
            let count = bytes.withLock { $0 }
            budget.changeAnyway(from: count, to: 0, for: user)
        }
    }

    private func change(
        from before: Int, to after: Int, room: Int, for user: String
    ) throws(Excess) {
        let needed = max(after, room)
        guard needed > before else { return changeAnyway(from: before, to: after, for: user) }
        try held.withLock { held throws(Excess) in
            let othersOfUser = (held.users[user] ?? 0) - before
            if othersOfUser > 0, othersOfUser + needed > share { throw .share }
            let others = held.total - before
            if others > 0, others + needed > total { throw .total }
            held.change(by: after - before, for: user)
        }
    }

    private func changeAnyway(from before: Int, to after: Int, for user: String) {
        guard after != before else { return }
        held.withLock { $0.change(by: after - before, for: user) }
    }
}
