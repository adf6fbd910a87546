/// An allowance that refills at a steady rate. Decides; performs nothing.
struct TokenBucket: Hashable, Sendable {
    typealias Instant = ContinuousClock.Instant

    /// Longest wait that an answer names, in seconds: an hour says enough.
    private static let longestWait = 3600.0

    /// Units that come back each second.
    let rate: Double
    /// Most units at hand.
    let capacity: Double
    private var level: Double
    private var filled: Instant

    init(rate: Double, capacity: Double, now: Instant) {
        self.rate = rate
        self.capacity = capacity
        level = capacity
        filled = now
    }

    /// Whether nothing has been taken for long enough that the bucket is as good as new.
    mutating func isFull(now: Instant) -> Bool {
        refill(now)
        return level >= capacity
    }

    /// Takes units if the level is above zero, which may bring it below: what came is not known before it
    /// has come.
    ///
    /// - Returns: nil when taken; else the time until a unit is there.
    mutating func take(_ units: Double, now: Instant) -> Duration? {
        refill(now)
        guard level > 0 || units == 0 else {
            return .seconds(min((1 - level) / rate, Self.longestWait))
        }
        level -= units
        return nil
    }

    /// Charges what has been used already.
    mutating func charge(_ units: Double, now: Instant) {
        refill(now)
        level -= units
    }

    private mutating func refill(_ now: Instant) {
        guard now > filled else { return }
        level = min(capacity, level + rate * ((now - filled) / .seconds(1)))
        filled = now
    }
}
