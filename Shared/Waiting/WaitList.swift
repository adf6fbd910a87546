/// Callers that wait for the same thing, first come first served.
///
/// Leaving from the middle only forgets the caller; its place is skipped later. So joining, leaving
/// and serving take constant time on average.
package struct WaitList<Value> {
    /// A caller's number. Callers join in the order of their numbers.
    package typealias ID = Int

    /// Places that are kept in front of the first caller before they are removed.
    private static var keptPlaces: Int { 64 }

    private var waiting: [ID: Value] = [:]
    private var order: [ID] = []
    private var head = 0

    package init() {}

    package var count: Int { waiting.count }
    package var isEmpty: Bool { waiting.isEmpty }
    /// What is known of the callers, in no order.
    package var values: some Collection<Value> { waiting.values }

    package mutating func append(_ id: ID, _ value: Value) {
        waiting[id] = value
        order.append(id)
    }

    /// Removes the caller that has waited longest.
    package mutating func popFirst() -> ID? {
        while head < order.count {
            let id = order[head]
            head += 1
            if head > Self.keptPlaces, head * 2 > order.count {
                order.removeFirst(head)
                head = 0
            }
            if waiting.removeValue(forKey: id) != nil { return id }
        }
        return nil
    }

    /// The caller that has waited longest.
    package var first: ID? {
        order[head...].first { waiting[$0] != nil }
    }

    /// The first of the callers that have waited longest for which the condition holds.
    ///
    /// - Parameter count: how many callers are looked at.
    package func first(among count: Int, where condition: (Value) -> Bool) -> ID? {
        var left = count
        for id in order[head...] {
            guard left > 0 else { return nil }
            guard let value = waiting[id] else { continue }
            if condition(value) { return id }
            left -= 1
        }
        return nil
    }

    /// What is known of a caller; nil if it does not wait.
    package subscript(id: ID) -> Value? { waiting[id] }

    /// Changes what is known of a caller, if it waits.
    package mutating func update(_ id: ID, _ change: (inout Value) -> Void) {
        guard var value = waiting[id] else { return }
        change(&value)
        waiting[id] = value
    }

    /// - Returns: whether the caller was waiting.
    package mutating func remove(_ id: ID) -> Bool {
        guard waiting.removeValue(forKey: id) != nil else { return false }
        if waiting.isEmpty {
            (order, head) = ([], 0)
        } else if order.count - head > 2 * waiting.count + Self.keptPlaces {
            // Else one caller that waits for long would keep the places of all who came after it.
            order = order[head...].filter { waiting[$0] != nil }
            head = 0
        }
        return true
    }

    /// Removes some callers, and returns them in their order.
    package mutating func removeAll(where isLeaving: (Value) -> Bool) -> [(id: ID, value: Value)] {
        let leaving = waiting.filter { isLeaving($0.value) }.sorted { $0.key < $1.key }
        for (id, _) in leaving { _ = remove(id) }
        return leaving.map { (id: $0.key, value: $0.value) }
    }

    /// Removes all callers, and returns them in their order.
    package mutating func removeAll() -> [ID] {
        defer { self = WaitList() }
        return waiting.keys.sorted()
    }
}

extension WaitList: Sendable where Value: Sendable {}
