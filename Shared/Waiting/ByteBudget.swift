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
        let reservation = Reservation(budget: self, user: user)
        try reservation.hold(bytes)
        return reservation
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
        /// - Throws: `Excess` if they are more and do not fit; then as many are held as before.
        package func hold(_ count: Int) throws(Excess) {
            try bytes.withLock { bytes throws(Excess) in
                try budget.change(from: bytes, to: max(0, count), for: user)
                bytes = max(0, count)
            }
        }

        deinit {
            let count = bytes.withLock { $0 }
            budget.giveBack(count, of: user)
        }
    }

    private func change(from before: Int, to after: Int, for user: String) throws(Excess) {
        guard after > before else { return giveBack(before - after, of: user) }
        try held.withLock { held throws(Excess) in
            let othersOfUser = (held.users[user] ?? 0) - before
            if othersOfUser > 0, othersOfUser + after > share { throw .share }
            let others = held.total - before
            if others > 0, others + after > total { throw .total }
            held.total = others + after
            held.users[user] = othersOfUser + after
        }
    }

    private func giveBack(_ count: Int, of user: String) {
        guard count > 0 else { return }
        held.withLock { held in
            held.total -= count
            let own = (held.users[user] ?? 0) - count
            held.users[user] = own > 0 ? own : nil
        }
    }
}
