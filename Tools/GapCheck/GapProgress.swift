import Synchronization

/// How far everybody is. Written by many, read by whoever tells or watches.
package final class GapProgress: Sendable {
    /// Changes that were written for the user, as far as their writers know.
    private let written = Atomic<Int64>(0)
    /// Last sequence of the log once nobody writes any more; 0: somebody does.
    private let end = Atomic<Int64>(0)
    /// Requests that were sent again.
    private let repeats = Atomic<Int>(0)
    /// Each reader's cursor.
    private let cursors = Mutex<[String: Int64]>([:])

    package init() {}

    var changes: Int64 { written.load(ordering: .relaxed) }
    var resent: Int { repeats.load(ordering: .relaxed) }
    /// The last sequence there will be, once it is known.
    var head: Int64? {
        let head = end.load(ordering: .acquiring)
        return head == 0 ? nil : head
    }

    func add(_ changes: Int) { written.add(Int64(changes), ordering: .relaxed) }
    func finish(head: Int64) { end.store(head, ordering: .releasing) }
    func sendAgain() { repeats.add(1, ordering: .relaxed) }
    func move(_ reader: String, to cursor: Int64) { cursors.withLock { $0[reader] = cursor } }

    /// The cursor of the reader that is the furthest behind.
    var slowest: Int64 { cursors.withLock { $0.values.min() ?? 0 } }

    /// Grows as long as anybody gets on.
    var total: Int64 { changes + cursors.withLock { $0.values.reduce(0, +) } }
}
