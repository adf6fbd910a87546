import HTTPTypes
import Model
import Synchronization

/// How many requests and bytes each user may have a second, over all of its devices at this gateway. It holds
/// off a client that runs wild, not an attacker with many accounts.
final class RateLimits: Sendable {
    /// Seconds' worth that may be used at once.
    private static let burstSeconds = 4.0
    /// Users remembered. Over it those go whose allowance is whole, and if there are none, all.
    private static let maximumUsers = 100_000

    private struct Allowance {
        var requests: TokenBucket
        var bytes: TokenBucket
    }

    /// Each second, for each user; 0: no limit.
    private let requests: Double
    private let bytes: Double
    private let state = Mutex<[UserID: Allowance]>([:])

    init(requestsPerSecond: Int, bytesPerSecond: Int) {
        requests = Double(requestsPerSecond)
        bytes = Double(bytesPerSecond)
    }

    private var isOn: Bool { requests > 0 || bytes > 0 }

    /// A request begins.
    ///
    /// - Throws: `WireError` 429 when the user has used up its allowance.
    func enter(_ user: UserID, now: ContinuousClock.Instant = .now) throws(WireError) {
        guard isOn else { return }
        let refused: Duration? = state.withLock { users in
            if users[user] == nil { makeRoom(&users, now) }
            var allowance = users[user] ?? fresh(now)
            defer { users[user] = allowance }
            if bytes > 0, let wait = allowance.bytes.take(0.5, now: now) { return wait }
            return requests > 0 ? allowance.requests.take(1, now: now) : nil
        }
        guard let refused else { return }
        throw WireError(
            status: .tooManyRequests, code: "rate_limited",
            message: "Too many requests or bytes for this user; nothing of this one was taken up",
            retryAfter: Int(refused.components.seconds) + 1)
    }

    /// A request brought or got these bytes.
    func charge(_ user: UserID, bytes count: Int, now: ContinuousClock.Instant = .now) {
        guard bytes > 0, count > 0 else { return }
        state.withLock { $0[user]?.bytes.charge(Double(count), now: now) }
    }

    private func fresh(_ now: ContinuousClock.Instant) -> Allowance {
        Allowance(
            requests: TokenBucket(rate: requests, capacity: requests * Self.burstSeconds, now: now),
            bytes: TokenBucket(rate: bytes, capacity: bytes * Self.burstSeconds, now: now))
    }

    private func makeRoom(_ users: inout [UserID: Allowance], _ now: ContinuousClock.Instant) {
        guard users.count >= Self.maximumUsers else { return }
        users = users.filter { _, allowance in
            var allowance = allowance
            let isUnused =
                (requests == 0 || allowance.requests.isFull(now: now))
                && (bytes == 0 || allowance.bytes.isFull(now: now))
            return !isUnused
        }
        if users.count >= Self.maximumUsers { users = [:] }
    }
}
