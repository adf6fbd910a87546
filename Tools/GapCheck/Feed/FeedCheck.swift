/// Takes what a reader downloads, in the order it comes, and says what is wrong with it.
///
/// Promise P3: every applied change of the user, in commit order, once. Sequences are dense from 1, so a hole is
/// a change that was lost. A value without clock or I/O; about ten bytes a change and fifty a row.
package struct FeedCheck: Sendable {
    /// Faults that are kept; more are counted.
    static let maximumFaults = 20
    /// A jump beyond that many sequences is no gap but nonsense, which no memory is spent on.
    private static let longestJump: Int64 = 1 << 26

    struct RowNow {
        var version: Int64
        var content: RowContent?
    }

    /// Stands in all keys of the user whose log this is.
    let owner: UInt16
    /// The devices that may have written; the empty name is plain SQL.
    let sources: [String]
    /// The reader's own device, when it leaves its own changes out.
    let own: String?

    let indexes: [String: Int]
    /// By sequence, from 1: who made the change (index in `sources` and 1), 0: not delivered.
    private(set) var makers: [UInt8] = []
    /// By sequence: a hash of the whole change.
    private(set) var marks: [Int] = []
    private(set) var rows: [GapRow: RowNow] = [:]
    /// By source: the change ids delivered.
    private(set) var ids: [IDSet]

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

    /// Changes that plain SQL made.
    package var plainChanges: Int {
        indexes[""].map { ids[$0].count } ?? 0
    }
}
