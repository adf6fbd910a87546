import HTTPTypes
import Synchronization

/// How many tokens of each client address may be rejected. Decides; performs nothing.
///
/// Checking a signature costs more than all else that the gateway does for a request that it
/// refuses.
struct RejectionAllowance {
    typealias Instant = ContinuousClock.Instant

    /// Seconds' worth that may be used at once.
    private static let burstSeconds = 4.0
    /// Addresses remembered. Over it those go whose allowance is whole, and if that is less than
    /// half, all: else each further address would cost a look at all of them.
    static let maximumAddresses = 10_000

    /// Tokens each second.
    private let rate: Double
    private var buckets: [PeerAddress: TokenBucket] = [:]

    init(tokensPerSecond: Int) {
        rate = Double(tokensPerSecond)
    }

    /// Addresses that are remembered.
    var count: Int { buckets.count }

    /// The time until a token may be checked; nil if one may be now. Counts nothing.
    func wait(_ address: PeerAddress, now: Instant) -> Duration? {
        // Of a copy: nothing is taken.
        guard var bucket = buckets[address] else { return nil }
        return bucket.take(1, now: now)
    }

    /// A token is to be checked; it counts as rejected until it is accepted, so that many at once
    /// do not get past.
    ///
    /// - Returns: nil if it may be checked; else the time until one may be.
    mutating func begin(_ address: PeerAddress, now: Instant) -> Duration? {
        if buckets[address] == nil { makeRoom(now) }
        var bucket =
            buckets[address]
            ?? TokenBucket(rate: rate, capacity: rate * Self.burstSeconds, now: now)
        defer { buckets[address] = bucket }
        return bucket.take(1, now: now)
    }

    /// The token was not rejected.
    mutating func accept(_ address: PeerAddress, now: Instant) {
        guard var bucket = buckets[address] else { return }
        bucket.charge(-1, now: now)
        // Who brings good tokens only is not remembered.
        buckets[address] = bucket.isFull(now: now) ? nil : bucket
    }

    private mutating func makeRoom(_ now: Instant) {
        guard buckets.count >= Self.maximumAddresses else { return }
        buckets = buckets.filter { _, bucket in
            var bucket = bucket
            return !bucket.isFull(now: now)
        }
        if buckets.count > Self.maximumAddresses / 2 { buckets = [:] }
    }
}

/// Refuses tokens unchecked while too many of their address are rejected. Tokens that were verified
/// before never come here.
final class RejectedTokens: Sendable {
    private let allowance: Mutex<RejectionAllowance>

    init(tokensPerSecond: Int) {
        allowance = Mutex(RejectionAllowance(tokensPerSecond: tokensPerSecond))
    }

    /// Before what a check needs is there.
    ///
    /// - Throws: `WireError` 429 when the address has used up its allowance.
    func check(_ address: PeerAddress) throws(WireError) {
        try refuse(for: allowance.withLock { $0.wait(address, now: .now) })
    }

    /// A token is checked now.
    ///
    /// - Throws: as `check` does.
    func begin(_ address: PeerAddress) throws(WireError) {
        try refuse(for: allowance.withLock { $0.begin(address, now: .now) })
    }

    private func refuse(for wait: Duration?) throws(WireError) {
        guard let wait else { return }
        throw WireError(
            status: .tooManyRequests, code: "too_many_rejections",
            message: "Too many tokens from this address were rejected; a token that was accepted "
                + "before still is; wait, and send a fresh one",
            retryAfter: Int(wait.components.seconds) + 1)
    }

    /// The token was not rejected.
    func accept(_ address: PeerAddress) {
        allowance.withLock { $0.accept(address, now: .now) }
    }
}
