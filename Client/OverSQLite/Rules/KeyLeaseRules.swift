/// When a device leases numbers for new rows, and how many.
enum KeyLeaseRules {
    /// The size of the first lease.
    static let first: Int64 = 20
    /// The most numbers that a lease asks for: as many as the server gives.
    static let most: Int64 = 500
    /// Seconds: where a lease was used up sooner, the next is twice as large.
    static let busy = 86_400.0
    /// Seconds after which the server is asked again if it had no numbers.
    static let pause = 300.0

    /// How many numbers to ask for now; nil while more than half of the last lease is left.
    static func wanted(of table: KeyStanding, now: Double) -> Int64? {
        guard table.left * 2 <= table.size else { return nil }
        guard table.size > 0 else { return first }
        // A clock that was set back makes no lease larger.
        let isBusy = (0..<busy).contains(now - table.leasedAt)
        return min(most, max(first, isBusy ? table.size * 2 : table.size))
    }
}

/// A table that leases numbers for new rows, as it stands.
struct KeyStanding: Hashable, Sendable {
    let table: Int64
    /// How many numbers the last lease asked for; 0 before the first.
    let size: Int64
    /// When that was, in seconds since 1970.
    let leasedAt: Double
    /// Numbers that no row has yet.
    let left: Int64
}

/// Numbers that the server has leased: `first`, `first + step`, and so on.
struct LeasedRange: Hashable, Sendable, Decodable {
    /// More than a server gives.
    private static let maximumCount: Int64 = 100_000

    let first: Int64
    let count: Int64
    let step: Int64

    /// They are whole numbers of 64 bits, and no two are the same.
    var isGood: Bool {
        guard (1...Self.maximumCount).contains(count), step != 0 else { return false }
        let (way, isTooLong) = step.multipliedReportingOverflow(by: count - 1)
        return !isTooLong && !first.addingReportingOverflow(way).overflow
    }
}
