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
    static func wanted(of table: KeyRanges.Standing, now: Double) -> Int64? {
        guard table.left * 2 <= table.size else { return nil }
        guard table.size > 0 else { return first }
        // A clock that was set back makes no lease larger.
        let isBusy = (0..<busy).contains(now - table.leasedAt)
        return min(most, max(first, isBusy ? table.size * 2 : table.size))
    }
}
