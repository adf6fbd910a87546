import Model
import Synchronization

/// Holds back the refusals of a user that is over its allowance.
///
/// A client that repeats a refused request at once would otherwise take more of the gateway's time
/// with its refusals than the allowance gives it.
final class RefusalPause: Sendable {
    /// How long a refusal waits: as long as the client is asked to.
    static let length: Duration = .seconds(1)
    /// Refusals of one user that wait at once. Further ones go out at once, since each that waits
    /// takes memory.
    static let perUser = 500
    /// The same of all users.
    static let total = 5000

    private struct Waiting {
        var users: [UserID: Int] = [:]
        var total = 0
    }

    private let waiting = Mutex(Waiting())

    /// Refusals that wait.
    var count: Int { waiting.withLock { $0.total } }

    /// Returns when the refusal is due, or its client no longer waits.
    func wait(for user: UserID) async {
        guard enter(user) else { return }
        defer { leave(user) }
        // The delay is the purpose. Cancellation ends it early: the client has left.
        try? await Task.sleep(for: Self.length)
    }

    private func enter(_ user: UserID) -> Bool {
        waiting.withLock { waiting in
            let own = waiting.users[user, default: 0]
            guard own < Self.perUser, waiting.total < Self.total else { return false }
            waiting.users[user] = own + 1
            waiting.total += 1
            return true
        }
    }

    private func leave(_ user: UserID) {
        waiting.withLock { waiting in
            let left = waiting.users[user, default: 0] - 1
            waiting.users[user] = left > 0 ? left : nil
            waiting.total -= 1
        }
    }
}
