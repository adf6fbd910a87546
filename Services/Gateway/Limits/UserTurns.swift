import Model
import Synchronization

/// How much of some work each user may have under way at once. Its further work waits, in order.
final class UserTurns: Sendable {
    private struct User {
        var taken = 0
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let perUser: Int
    private let users = Mutex<[UserID: User]>([:])

    init(perUser: Int) {
        self.perUser = perUser
    }

    /// Users that work or wait.
    var count: Int { users.withLock { $0.count } }
    /// What waits of one user.
    func waiting(of user: UserID) -> Int { users.withLock { $0[user]?.waiting.count ?? 0 } }

    /// Works when it is the user's turn; at once for nil.
    func take<Value: Sendable>(
        _ user: UserID?, _ work: @Sendable () async -> Value
    ) async -> Value {
        guard let user else { return await work() }
        await begin(user)
        defer { end(user) }
        return await work()
    }

    /// Cancellation does not end the wait: all work before it comes to its end.
    private func begin(_ user: UserID) async {
        await withCheckedContinuation { continuation in
            let begins = users.withLock { users in
                var its = users.removeValue(forKey: user) ?? User()
                let begins = its.taken < perUser
                if begins { its.taken += 1 } else { its.waiting.append(continuation) }
                users[user] = its
                return begins
            }
            if begins { continuation.resume() }
        }
    }

    private func end(_ user: UserID) {
        let next: CheckedContinuation<Void, Never>? = users.withLock { users in
            guard var its = users.removeValue(forKey: user) else { return nil }
            let next = its.waiting.isEmpty ? nil : its.waiting.removeFirst()
            // A caller that waits takes the turn over.
            if next == nil { its.taken -= 1 }
            if its.taken > 0 { users[user] = its }
            return next
        }
        next?.resume()
    }
}
