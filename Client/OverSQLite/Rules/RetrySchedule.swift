/// Decides when a rejected row is sent again.
enum RetrySchedule {
    /// Seconds before the first retry if the cause will probably pass.
    static let soon = 5.0
    /// Seconds before the first retry if people must remove the cause.
    static let rare = 900.0
    /// The maximum time between retries, in seconds.
    static let longest = 3600.0

    /// The time of the next retry in seconds since 1970; nil if only the app can cause one.
    ///
    /// - Parameters:
    ///   - attempts: how often the row was rejected before.
    ///   - jitter: from 0 to 1. Spreads rows and devices that were rejected together over half the
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
