import GapCheck
import Testing

@Suite("What a reader was given, checked")
struct FeedCheckTests {
    private static let owner: UInt16 = 7
    private static let content = RowContent(n: "1".utf8, label: "a".utf8, item: "".utf8)

    private static func row(_ number: UInt32, owner: UInt16 = owner) -> GapRow {
        GapRow(.items, owner: owner, writer: 1, number: number, low: 9)
    }

    /// A change that makes a new row, as the phone's change of the same number.
    private static func change(
        _ sequence: Int64, row: GapRow? = nil, version: Int64 = 1, source: String = "phone",
        id: Int64? = nil, content: RowContent? = content
    ) -> FeedChange {
        FeedChange(
            sequence: sequence, row: row ?? Self.row(UInt32(truncatingIfNeeded: sequence)),
            version: version,
            content: content, source: source, changeID: id ?? sequence)
    }

    private static func check(
        _ changes: [FeedChange], leavingOut own: String? = nil
    ) -> FeedCheck {
        var check = FeedCheck(
            owner: owner, sources: ["phone", "laptop", ""], leavingOut: own)
        for change in changes { check.take(change) }
        return check
    }

    private static func ids(_ ids: Int64...) -> IDSet {
        var set = IDSet()
        for id in ids { set.insert(id) }
        return set
    }

    @Test func `a whole log in order, with updates, deletes and plain SQL, is without fault`() {
        var check = Self.check([
            Self.change(1), Self.change(2, row: Self.row(1), version: 2),
            Self.change(3, row: Self.row(5), source: "laptop", id: 1),
            Self.change(4, row: Self.row(1), version: 3, source: "", id: 4, content: nil),
        ])
        check.finish(head: 4)
        check.compare(applied: ["phone": Self.ids(1, 2), "laptop": Self.ids(1)])
        check.compare(state: [Self.row(5): Self.content])
        #expect(check.faults == [])
        #expect(check.plainChanges == 1)
    }

    @Test func `an empty log is without fault`() {
        var check = Self.check([])
        check.finish(head: 0)
        check.compare(applied: [:])
        check.compare(state: [:])
        #expect(check.faults == [])
    }

    @Test(arguments: [
        ([1, 3], 3, 2...2), ([1, 2, 6, 7], 7, 3...5), ([2], 2, 1...1), ([1], 4, 2...4),
        ([], 2, 1...2),
    ])
    func `a gap is named, in the middle, at the beginning and at the end`(
        sequences: [Int64], head: Int64, missing: ClosedRange<Int64>
    ) {
        var check = Self.check(sequences.map { Self.change($0) })
        check.finish(head: head)
        #expect(check.faults == [.gap(missing)])
    }

    @Test func `a duplicate is named`() {
        var check = Self.check([1, 2, 2, 3].map { Self.change($0) })
        check.finish(head: 3)
        #expect(check.faults == [.duplicate(2)])
    }

    @Test func `a reorder is named, and is no gap`() {
        var check = Self.check([1, 3, 2].map { Self.change($0) })
        check.finish(head: 3)
        #expect(check.faults == [.reorder(2, after: 3)])
    }

    @Test func `another user's change is foreign, also under a device name of this one's`() {
        let stranger = Self.row(2, owner: 8)
        var check = Self.check([Self.change(1), Self.change(2, row: stranger)])
        #expect(check.faults == [.foreign(2, what: "of another user: \(stranger)")])
        check.finish(head: 1)
        #expect(check.faultCount == 1)
    }

    @Test func `a device that nobody knows, and a sequence that cannot be, are foreign`() {
        let check = Self.check([
            Self.change(1, source: "tablet"), Self.change(0), Self.change(1 << 40, id: 3),
        ])
        #expect(check.faultCount == 3)
        #expect(check.faults.first == .foreign(1, what: "of the unknown device tablet"))
        #expect(check.last == 0)
    }

    @Test func `one change of a device in two places of the log is named`() {
        let check = Self.check([Self.change(1), Self.change(2, id: 1)])
        #expect(check.faults == [.repeated(2, source: "phone", changeID: 1)])
    }

    @Test func `versions of a row that do not count 1, 2, 3 are named`() {
        let row = Self.row(1)
        let check = Self.check([Self.change(1), Self.change(2, row: row, version: 3)])
        #expect(check.faults == [.version(2, row: row, version: 3, after: 1)])
    }

    @Test func `a log that goes on behind its end is named`() {
        var check = Self.check([Self.change(1), Self.change(2)])
        check.finish(head: 1)
        #expect(check.faults == [.end(2, head: 1)])
    }

    @Test func `a reader without its own changes must get exactly all others`() {
        let all = [Self.change(1), Self.change(2, source: "laptop"), Self.change(3)]
        let reference = Self.check(all)
        var right = Self.check([all[1]], leavingOut: "phone")
        right.finish(head: 3, reference: reference)
        #expect(right.faults == [])
        var missing = Self.check([all[0], all[2]], leavingOut: "laptop")
        missing.finish(head: 3, reference: reference)
        #expect(missing.faults == [])
        var wrong = Self.check([all[0]], leavingOut: "laptop")
        wrong.finish(head: 3, reference: reference)
        #expect(wrong.faults == [.gap(3...3)])
        let own = Self.check([all[0], all[1]], leavingOut: "laptop")
        #expect(own.faults == [.own(2)])
    }

    @Test func `two readers with different changes in one place are named`() {
        let other = RowContent(n: "2".utf8, label: "a".utf8, item: "".utf8)
        let reference = Self.check([Self.change(1), Self.change(2)])
        var check = Self.check([Self.change(1), Self.change(2, content: other)])
        check.finish(head: 2, reference: reference)
        #expect(check.faults == [.different(2)])
    }

    @Test func `what was answered and what was delivered are compared both ways`() {
        var check = Self.check([Self.change(1), Self.change(2)])
        check.compare(applied: ["phone": Self.ids(1, 3)])
        #expect(
            check.faults == [
                .lost(source: "phone", changeID: 3), .unanswered(source: "phone", changeID: 2),
            ])
    }

    @Test func `a row that the business table has otherwise, still or no longer is named`() {
        let other = RowContent(n: "1".utf8, label: "b".utf8, item: "".utf8)
        let (one, two) = (Self.row(1), Self.row(2))
        for state in [[one: other], [:], [one: Self.content, two: Self.content]] {
            var check = Self.check([Self.change(1)])
            check.compare(state: state)
            #expect(check.faults == [.state(state.count == 2 ? two : one)])
        }
    }

    @Test func `only the first faults are kept, and all are counted`() {
        let check = Self.check(Array(repeating: Self.change(1), count: 1001))
        #expect(check.faultCount == 1000)
        #expect(check.faults.count == 20)
    }
}
