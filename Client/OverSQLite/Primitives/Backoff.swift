/// Delays after failures: doubling, with full jitter, from the start again after a success.
struct Backoff: Hashable {
    let range: ClosedRange<Double>
    private(set) var failures = 0

    init(_ range: ClosedRange<Double>) { self.range = range }

    /// Seconds until the next try.
    ///
    /// - Parameters:
    ///   - jitter: from 0 to 1.
    ///   - retryAfter: seconds the server asked for; never undercut.
    mutating func failed(jitter: Double, retryAfter: Int? = nil) -> Double {
        var longest = range.lowerBound
        for _ in 0..<min(failures, 32) where longest < range.upperBound { longest *= 2 }
        failures += 1
        return Double(retryAfter ?? 0) + min(longest, range.upperBound) * jitter
    }

    mutating func succeeded() { failures = 0 }
}
