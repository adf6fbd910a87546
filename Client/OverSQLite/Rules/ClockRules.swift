/// Decides whether the device's clock is wrong, from the time in the server's answers.
enum ClockRules {
    /// The difference that is tolerated, in seconds: what an answer takes, and what servers allow.
    static let tolerance = 60.0

    /// - Parameters:
    ///   - device: the device's time, in seconds since 1970.
    ///   - server: the server's, with whole seconds.
    static func notice(device: Double, server: Double) -> SyncNotice? {
        let difference = device - server
        guard difference.magnitude > tolerance else { return nil }
        let words = "\(amount(difference.magnitude)) \(difference < 0 ? "behind" : "ahead of")"
        return SyncNotice(
            .clock, "the device's clock is \(words) the server's",
            advice: "set the device's clock: tokens and retries go by time")
    }

    /// A length of time in its largest unit, so that the words stay the same for a while.
    private static func amount(_ seconds: Double) -> String {
        let units = [("day", 86_400.0), ("hour", 3600), ("minute", 60)]
        let (name, length) = units.first { seconds >= $0.1 } ?? ("minute", 60)
        let count = Int(seconds / length)
        return "\(count) \(name)\(count == 1 ? "" : "s")"
    }
}
