/// Those who wait for a connection, first come first served, each with a deadline.
///
/// Leaving from the middle only forgets the waiter; its place is skipped later. So every operation
/// takes constant time on average, except finding the deadlines.
struct WaiterQueue {
    typealias Instant = ContinuousClock.Instant

    private var deadlines: [PoolMachine.WaiterID: Instant] = [:]
    private var order: [PoolMachine.WaiterID] = []
    private var head = 0

    var count: Int { deadlines.count }
    var isEmpty: Bool { deadlines.isEmpty }
    var nextDeadline: Instant? { deadlines.values.min() }

    mutating func append(_ waiter: PoolMachine.WaiterID, deadline: Instant) {
        deadlines[waiter] = deadline
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
            if deadlines.removeValue(forKey: waiter) != nil { return waiter }
        }
        return nil
    }

    /// Returns whether the waiter was there.
    mutating func remove(_ waiter: PoolMachine.WaiterID) -> Bool {
        guard deadlines.removeValue(forKey: waiter) != nil else { return false }
        if deadlines.isEmpty { (order, head) = ([], 0) }
        return true
    }

    /// Removes and returns those whose deadline has come, in their order.
    mutating func removeExpired(now: Instant) -> [PoolMachine.WaiterID] {
        let expired = deadlines.filter { $0.value <= now }.keys.sorted()
        for waiter in expired { _ = remove(waiter) }
        return expired
    }

    mutating func removeAll() -> [PoolMachine.WaiterID] {
        defer { self = WaiterQueue() }
        return deadlines.keys.sorted()
    }
}
