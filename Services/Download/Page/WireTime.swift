import Telemetry

/// Times as the wire has them.
enum WireTime {
    /// From 1970, where Unix begins to count, to 2000, where PostgreSQL does.
    private static let secondsTo2000 = 946_684_800

    /// The years that RFC 3339 can say, 0 to 9999, in microseconds since 2000. PostgreSQL has others, and infinite
    /// times; only SQL by hand gives them to a change.
    private static let sayable: ClosedRange<Int64> =
        -63_113_904_000_000_000...252_455_615_999_999_999

    /// RFC 3339 in UTC, as many places of the second as it has. Where it cannot say the time, the nearest it can.
    static func text(microsecondsSince2000 time: Int64) -> [UInt8] {
        let time = min(max(time, sayable.lowerBound), sayable.upperBound)
        let microseconds = Int(time) % 1_000_000
        let seconds = Int(time) / 1_000_000 + secondsTo2000
        return microseconds < 0
            ? Timestamp.utf8(
                seconds: seconds - 1, microseconds: microseconds + 1_000_000, trimsZeros: true)
            : Timestamp.utf8(seconds: seconds, microseconds: microseconds, trimsZeros: true)
    }
}
