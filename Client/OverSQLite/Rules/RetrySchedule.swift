/// When a refused row is tried again.
enum RetrySchedule {
    /// Seconds before the first retry of a cause that is likely to pass.
    static let soon = 5.0
    /// Seconds before the first retry of a cause that people must remove.
    static let rare = 900.0
    /// Longest time between retries, in seconds.
    static let longest = 3600.0

    /// Seconds since 1970 of the next try; nil: only when the app asks for one.
    ///
    /// - Parameters:
    ///   - attempts: refusals so far.
    ///   - jitter: from 0 to 1; spreads rows and devices that were refused together over half the
    ///     delay.
    static func next(_ retry: PushRules.Retry, attempts: Int, now: Double, jitter: Double)
        -> Double?
    {
        let first: Double
        switch retry {
        case .never: return nil
        case .soon: first = soon
        case .rarely: first = rare
        }
        var delay = first
        for _ in 0..<min(attempts, 16) where delay < longest { delay *= 2 }
        return now + min(delay, longest) * (0.5 + jitter / 2)
    }
}
