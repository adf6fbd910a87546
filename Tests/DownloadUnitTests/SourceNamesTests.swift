import Testing

@testable import DownloadService

@Suite("Names of the devices that a page's changes came from")
struct SourceNamesTests {
    private static func names(_ sources: [Int32: String], limit: Int) -> SourceNames {
        SourceNames(sources.map { (number: $0.key, device: $0.value) }, limit: limit)
    }

    @Test("Fewer names than were asked for are all there are")
    func complete() {
        let names = Self.names([1: "phone", 2: "tablet"], limit: 3)
        #expect(names.names == [1: "phone", 2: "tablet"])
        #expect([0, 1, 2, 3, 99].allSatisfy { names.covers($0) })
    }

    @Test("Where there may be more, names are missing until they were asked for, once")
    func incomplete() {
        var names = Self.names([7: "phone", 8: "tablet"], limit: 2)
        #expect(names.covers(7))
        #expect(!names.covers(3))
        names.learn("laptop", of: 3)
        // The number of no device, as in a log that was edited by hand.
        names.learn(nil, of: 4)
        #expect([3, 4, 7, 8].allSatisfy { names.covers($0) })
        #expect(names.names == [3: "laptop", 7: "phone", 8: "tablet"])
        #expect(!names.covers(5))
    }

    @Test("Changes of plain SQL have no device, and need none to be looked up")
    func plainSQL() {
        #expect(Self.names([1: "phone"], limit: 1).covers(0))
        #expect(Self.names([:], limit: 1).covers(1))
    }
}
