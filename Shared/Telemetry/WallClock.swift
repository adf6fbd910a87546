import Foundation

/// The time of day, as machines tell it to each other.
package enum WallClock {
    /// Microseconds since 1970.
    package static var microseconds: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
    }

    /// Microseconds from 1970 to 2000, where PostgreSQL's times begin.
    package static let postgresEpoch: Int64 = 946_684_800_000_000
}
