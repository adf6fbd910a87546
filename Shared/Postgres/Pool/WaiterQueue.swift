/// Those who wait for a connection, first come first served, each with a deadline.
///
/// Leaving from the middle only forgets the waiter; its place is skipped later. So every operation
/// takes constant time on average, except finding the waiting.
struct WaiterQueue {
    typealias Instant = ContinuousClock.Instant

    /// How long a waiter waits, and what is said when that is over.
    private struct Patience {
        let end: Instant
        let reason: PostgresError.Kind
    }

    private var waiting: [PoolMachine.WaiterID: Patience] = [:]
    private var order: [PoolMachine.WaiterID] = []
    private var head = 0

    var count: Int { waiting.count }
    var isEmpty: Bool { waiting.isEmpty }
    var nextDeadline: Instant? { waiting.values.map(\.end).min() }

    /// - Parameter reason: what the waiter is told when the deadline has come.
    mutating func append(
        _ waiter: PoolMachine.WaiterID, deadline: Instant, reason: PostgresError.Kind
    ) {
        waiting[waiter] = Patience(end: deadline, reason: reason)
        order.append(waiter)
    }

    mutating func popFirst() -> PoolMachine.WaiterID? {
        while head < order.count {
            let waiter = order[head]
            head += 1
            if head > 64, head * 2 > order.count {
                order.removeFirst(head)
                head = 0
            }
            if waiting.removeValue(forKey: waiter) != nil { return waiter }
        }
        return nil
    }

    /// Returns whether the waiter was there.
    mutating func remove(_ waiter: PoolMachine.WaiterID) -> Bool {
        guard waiting.removeValue(forKey: waiter) != nil else { return false }
        if waiting.isEmpty { (order, head) = ([], 0) }
        return true
    }

    /// Removes and returns those whose deadline has come, in their order, with what they are told.
    mutating func removeExpired(
        now: Instant
    ) -> [(waiter: PoolMachine.WaiterID, reason: PostgresError.Kind)] {
        let expired = waiting.filter { $0.value.end <= now }.sorted { $0.key < $1.key }
        for (waiter, _) in expired { _ = remove(waiter) }
        return expired.map { ($0.key, $0.value.reason) }
    }

    mutating func removeAll() -> [PoolMachine.WaiterID] {
        defer { self = WaiterQueue() }
        return waiting.keys.sorted()
    }
}
