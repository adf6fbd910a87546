/// Notices that changes are pending and none is confirmed (hazard H17). Times are seconds since
/// 1970.
struct Watchdog {
    let limit: Double
    private var stuckSince: Double?

    init(limit: Double) { self.limit = limit }

    /// When the limit is reached; nil if nothing is pending.
    var dueAt: Double? { stuckSince.map { $0 + limit } }

    /// - Parameter pending: the number of pending rows, without rejected ones.
    /// - Returns: the seconds without a confirmation, once they reach the limit; otherwise nil.
    mutating func observe(pending: Int, confirmed: Bool, now: Double) -> Int? {
        if pending == 0 || confirmed || stuckSince == nil { stuckSince = pending == 0 ? nil : now }
        // The clock was set back.
        if let since = stuckSince, since > now { stuckSince = now }
        guard let stuckSince, now - stuckSince >= limit else { return nil }
        return Int(now - stuckSince)
    }
}
