/// Takes what a reader downloads, in the order it comes, and says what is wrong with it.
///
/// Promise P3: every applied change of the user, in commit order, once. Sequences are dense from 1, so a hole is
/// a change that was lost. A value without clock or I/O; about ten bytes a change and fifty a row.
package struct FeedCheck: Sendable {
    /// Faults that are kept; more are counted.
    static let maximumFaults = 20
    /// A jump beyond that many sequences is no gap but nonsense, which no memory is spent on.
    private static let longestJump: Int64 = 1 << 26

    private struct RowNow {
        var version: Int64
        var content: RowContent?
    }

    /// Stands in all keys of the user whose log this is.
    let owner: UInt16
    /// The devices that may have written; the empty name is plain SQL.
    let sources: [String]
    /// The reader's own device, when it leaves its own changes out.
    let own: String?

    private let indexes: [String: Int]
    /// By sequence, from 1: who made the change (index in `sources` and 1), 0: not delivered.
    private var makers: [UInt8] = []
    /// By sequence: a hash of the whole change.
    private var marks: [Int] = []
    private var rows: [GapRow: RowNow] = [:]
    /// By source: the change ids delivered.
    private var ids: [IDSet]

    /// Changes taken.
    package private(set) var count = 0
    package private(set) var faults: [FeedFault] = []
    package private(set) var faultCount = 0

    package init(owner: UInt16, sources: [String], leavingOut own: String? = nil) {
        precondition(sources.count < UInt8.max, "makers are kept in a byte")
        self.owner = owner
        self.sources = sources
        self.own = own
        indexes = Dictionary(uniqueKeysWithValues: zip(sources, sources.indices))
        ids = Array(repeating: IDSet(), count: sources.count)
    }

    /// The latest sequence delivered.
    package var last: Int64 { Int64(makers.count) }

    package mutating func note(_ fault: FeedFault) {
        faultCount += 1
        if faults.count < Self.maximumFaults { faults.append(fault) }
    }

    package mutating func take(_ change: FeedChange) {
        count += 1
        guard let source = indexes[change.source] else {
            return note(.foreign(change.sequence, what: "of the unknown device \(change.source)"))
        }
        guard change.row.owner == owner else {
            return note(.foreign(change.sequence, what: "of another user: \(change.row)"))
        }
        guard place(change, source) else { return }
        if let own, change.source == own { note(.own(change.sequence)) }
        if !ids[source].insert(change.changeID) {
            note(
                .repeated(
                    change.sequence, source: sources[source], changeID: change.changeID))
        }
        turn(change)
    }

    /// Puts a change in its place; false if it is taken.
    private mutating func place(_ change: FeedChange, _ source: Int) -> Bool {
        let sequence = change.sequence
        guard sequence > 0, sequence - last < Self.longestJump else {
            note(.foreign(sequence, what: "no sequence of this log"))
            return false
        }
        let index = Int(sequence - 1)
        if sequence > last {
            makers.append(contentsOf: repeatElement(0, count: index + 1 - makers.count))
            marks.append(contentsOf: repeatElement(0, count: index + 1 - marks.count))
        } else if makers[index] != 0 {
            note(.duplicate(sequence))
            return false
        } else {
            note(.reorder(sequence, after: last))
        }
        makers[index] = UInt8(source + 1)
        marks[index] = change.hashValue
        return true
    }

    /// Versions count 1, 2, 3; for a reader without its own changes they only grow.
    private mutating func turn(_ change: FeedChange) {
        let before = rows[change.row]?.version ?? 0
        if own == nil ? change.version != before + 1 : change.version <= before {
            note(
                .version(
                    change.sequence, row: change.row, version: change.version, after: before))
        }
        rows[change.row] = RowNow(version: change.version, content: change.content)
    }

    /// The reading is over.
    ///
    /// - Parameters:
    ///   - head: the log's last sequence.
    ///   - reference: what a reader of everything got; nil for that reader itself.
    package mutating func finish(head: Int64, reference: FeedCheck? = nil) {
        var missing: ClosedRange<Int64>?
        for sequence in 1...max(1, head) where sequence <= head {
            if isOwed(sequence, reference) {
                missing = (missing?.lowerBound ?? sequence)...sequence
            } else if let gap = missing {
                note(.gap(gap))
                missing = nil
            }
            if let reference, maker(sequence) != 0, reference.maker(sequence) != 0,
                marks[Int(sequence - 1)] != reference.marks[Int(sequence - 1)]
            {
                note(.different(sequence))
            }
        }
        if let missing { note(.gap(missing)) }
        if last > head { note(.end(last, head: head)) }
    }

    /// Whether a sequence has not come and should have.
    private func isOwed(_ sequence: Int64, _ reference: FeedCheck?) -> Bool {
        guard maker(sequence) == 0 else { return false }
        guard let own, let reference, let index = indexes[own] else { return true }
        return Int(reference.maker(sequence)) != index + 1
    }

    private func maker(_ sequence: Int64) -> UInt8 {
        sequence <= last ? makers[Int(sequence - 1)] : 0
    }

    /// Compares the devices' changes with those that were answered `applied`.
    package mutating func compare(applied: [String: IDSet]) {
        for (index, source) in sources.enumerated() where !source.isEmpty && source != own {
            let answered = applied[source] ?? IDSet()
            if let id = answered.first(notIn: ids[index]) {
                note(.lost(source: source, changeID: id))
            }
            if let id = ids[index].first(notIn: answered) {
                note(.unanswered(source: source, changeID: id))
            }
        }
    }

    /// Compares the rows that are left with the business tables'. Only for a reader of everything.
    package mutating func compare(state: [GapRow: RowContent]) {
        let wrong = rows.first { row, now in state[row] != now.content }?.key
        let unheard = state.first { row, _ in rows[row] == nil }?.key
        if let row = wrong ?? unheard { note(.state(row)) }
    }

    /// Changes that plain SQL made.
    package var plainChanges: Int {
        indexes[""].map { ids[$0].count } ?? 0
    }
}
