import Telemetry

/// Times as the wire has them.
enum WireTime {
    /// From 1970, where Unix begins to count, to 2000, where PostgreSQL does.
    private static let secondsTo2000 = 946_684_800

    /// RFC 3339 in UTC, as many places of the second as it has.
    static func text(microsecondsSince2000 time: Int64) -> [UInt8] {
        let microseconds = Int(time) % 1_000_000
        let seconds = Int(time) / 1_000_000 + secondsTo2000
        return microseconds < 0
            ? Timestamp.utf8(
                seconds: seconds - 1, microseconds: microseconds + 1_000_000, trimsZeros: true)
            : Timestamp.utf8(seconds: seconds, microseconds: microseconds, trimsZeros: true)
    }
}
