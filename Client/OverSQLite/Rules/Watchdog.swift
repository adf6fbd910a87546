/// Notices that rows wait and none gets through (hazard H17). Times are seconds since 1970.
struct Watchdog {
    let limit: Double
    private var stuckSince: Double?

    init(limit: Double) { self.limit = limit }

    /// When waiting has lasted too long; nil if nothing waits.
    var dueAt: Double? { stuckSince.map { $0 + limit } }

    /// - Parameter pending: rows that wait without having been refused.
    /// - Returns: for how many seconds nothing has got through, once that is too long.
    mutating func observe(pending: Int, confirmed: Bool, now: Double) -> Int? {
        if pending == 0 || confirmed || stuckSince == nil { stuckSince = pending == 0 ? nil : now }
        // The clock was set back.
        if let since = stuckSince, since > now { stuckSince = now }
        guard let stuckSince, now - stuckSince >= limit else { return nil }
        return Int(now - stuckSince)
    }
}
