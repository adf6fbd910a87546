/// Delays after failures. They double with each failure, with full jitter, and start over after a
/// success.
struct Backoff: Hashable {
    let range: ClosedRange<Double>
    private(set) var failures = 0

    init(_ range: ClosedRange<Double>) { self.range = range }

    /// Returns the seconds until the next try.
    ///
    /// - Parameters:
    ///   - jitter: from 0 to 1.
    ///   - retryAfter: the seconds that the server asked for; the delay is never shorter.
    mutating func failed(jitter: Double, retryAfter: Int? = nil) -> Double {
        var longest = range.lowerBound
        for _ in 0..<min(failures, 32) where longest < range.upperBound { longest *= 2 }
        failures += 1
        return Double(retryAfter ?? 0) + min(longest, range.upperBound) * jitter
    }

    mutating func succeeded() { failures = 0 }
}
