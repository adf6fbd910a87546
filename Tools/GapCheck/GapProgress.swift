import Synchronization

/// How far all readers and writers are. Written by many tasks, read for progress and waits.
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

    /// The slowest reader, and its cursor. Readers that have not begun do not count.
    var slowest: (name: String, cursor: Int64)? {
        cursors.withLock { cursors in
            cursors.min { ($0.value, $0.key) < ($1.value, $1.key) }.map { ($0.key, $0.value) }
        }
    }

    /// The same in words.
    var slowestReader: String {
        slowest.map { "slowest reader: \($0.name) at \($0.cursor)" } ?? "no reader has begun"
    }

    /// How far all readers and writers are, for waits.
    ///
    /// - Parameter wanted: changes that are to be written.
    func line(of wanted: Int64) -> String {
        let writing =
            head.map { "all \($0) changes are written, readers are catching up" }
            ?? "\(changes) of \(wanted) changes written"
        return "\(writing), \(slowestReader), \(resent) requests sent again"
    }

    /// Grows as long as anybody gets on.
    var total: Int64 { changes + cursors.withLock { $0.values.reduce(0, +) } }
}
