/// Which of many events are recorded: anybody can cause them again and again, and must not fill a
/// table with them. Decides; performs nothing.
package struct RecordBudget: Hashable, Sendable {
    package typealias Instant = ContinuousClock.Instant

    /// Events of one process that are recorded in a minute; as many at once.
    package static let perMinute = 30.0

    private var level = perMinute
    private var filled: Instant
    /// Events since the last one that was recorded.
    package private(set) var leftOut = 0

    package init(now: Instant) {
        filled = now
    }

    /// One more event.
    ///
    /// - Returns: how many before it were left out, if it is to be recorded; nil leaves it out.
    package mutating func add(now: Instant) -> Int? {
        if now > filled {
            level = min(Self.perMinute, level + Self.perMinute * ((now - filled) / .seconds(60)))
            filled = now
        }
        guard level >= 1 else {
            leftOut += 1
            return nil
        }
        level -= 1
        defer { leftOut = 0 }
        return leftOut
    }

    /// Events that were to be recorded could not be: the next one counts them.
    package mutating func lose(_ count: Int) { leftOut += count }
}
