import Testing
import Waiting

@Suite("Wait list")
struct WaitListTests {
    private func list(_ ids: ClosedRange<Int>) -> WaitList<Int> {
        var list = WaitList<Int>()
        for id in ids { list.append(id, id * 10) }
        return list
    }

    @Test func `callers are served in the order in which they came`() {
        var list = list(1...200)
        #expect((0..<200).map { _ in list.popFirst() } == (1...200).map { $0 })
        #expect(list.popFirst() == nil && list.isEmpty)
    }

    @Test func `a caller that left is passed over`() {
        var list = list(1...3)
        let left = list.remove(2)
        let leftAgain = list.remove(2)
        #expect(left && !leftAgain && list.count == 2)
        #expect([list.popFirst(), list.popFirst(), list.popFirst()] == [1, 3, nil])
    }

    @Test func `callers that leave together are named in their order`() {
        var list = list(1...4)
        let left = list.removeAll { $0 >= 30 }
        #expect(left.map(\.id) == [3, 4] && left.map(\.value) == [30, 40])
        #expect(list.values.sorted() == [10, 20])
        #expect(list.removeAll() == [1, 2])
        #expect(list.isEmpty && list.popFirst() == nil)
    }

    @Test func `a caller that comes after all have left is served`() {
        var list = list(1...2)
        _ = list.remove(1)
        _ = list.remove(2)
        list.append(3, 30)
        #expect(list.popFirst() == 3)
    }

    @Test func `many that come and go beside one that waits change nothing of the order`() {
        var list = list(1...1)
        for id in 2...1000 {
            list.append(id, id)
            if id % 100 != 0 { _ = list.remove(id) }
        }
        #expect((0...10).map { _ in list.popFirst() } == [1] + (1...10).map { $0 * 100 })
        #expect(list.popFirst() == nil)
    }
}
