/// The pauses between attempts at something that fails: each twice as long as the one before, up to
/// a limit.
///
/// A value without chance: the caller brings the jitter, which keeps callers that failed together
/// from trying again together.
package struct Backoff: Hashable, Sendable {
    /// Doublings after which a pause grows no further, whatever its limit: keeps it in range.
    private static let maximumDoublings = 16

    /// The first pause, before jitter.
    package let first: Duration
    /// The limit of all pauses.
    package let longest: Duration
    /// The part of a pause that jitter leaves alone, from 0 to 1; 1 makes every pause a whole one.
    package let steadyShare: Double
    /// Failures since the last success.
    package private(set) var failures = 0

    package init(first: Duration, longest: Duration, steadyShare: Double = 1) {
        self.first = first
        self.longest = longest
        self.steadyShare = steadyShare
    }

    /// The pause after a failure.
    ///
    /// - Parameters:
    ///   - earlier: failures before this one.
    ///   - jitter: from 0, which shortens the pause to its steady share, to 1.
    package func pause(afterFailures earlier: Int, jitter: Double = 1) -> Duration {
        let whole = min(first * (1 << min(earlier, Self.maximumDoublings)), longest)
        return whole * (steadyShare + (1 - steadyShare) * jitter)
    }

    /// Counts a failure.
    ///
    /// - Parameter jitter: see `pause(afterFailures:jitter:)`.
    /// - Returns: the pause after it.
    package mutating func fail(jitter: Double = 1) -> Duration {
        defer { failures += 1 }
        return pause(afterFailures: failures, jitter: jitter)
    }

    /// Forgets the failures, after a success.
    package mutating func reset() {
        failures = 0
    }
}
