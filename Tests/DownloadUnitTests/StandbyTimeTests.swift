import DatabaseKit
@testable import DownloadService
import Testing

@Suite("How long a standby is tried")
struct StandbyTimeTests {
    private static let start = ContinuousClock.now

    private static func after(_ milliseconds: Int) -> ContinuousClock.Instant {
        start + .milliseconds(milliseconds)
    }

    @Test("A page ends early enough that the primary has half of the time, whatever goes before it")
    func half() {
        for total in stride(from: 0, through: 60_000, by: 100) {
            let time = StandbyTime(from: Self.start, to: Self.after(total))
            for begin in stride(from: 0, through: total, by: 500) {
                #expect(time.turnEnd(at: Self.after(begin)) <= Self.after(begin + 1000))
                guard let end = time.pageEnd(at: Self.after(begin)) else { continue }
                #expect(end + StandbyDatabase.grace <= Self.after(total / 2))
                #expect(end >= Self.after(begin) + StandbyTime.leastForPage)
                #expect(end <= Self.after(begin) + StandbyTime.pageLimit)
            }
        }
    }

    @Test("A request with little time goes to the primary at once; one with 1.2 s does not")
    func little() {
        func page(_ total: Int, at begin: Int = 0) -> ContinuousClock.Instant? {
            StandbyTime(from: Self.start, to: Self.after(total)).pageEnd(at: Self.after(begin))
        }
        #expect(page(0) == nil)
        #expect(page(1199) == nil)
        #expect(page(1200) == Self.after(100))
        #expect(page(1200, at: 1) == nil)
        #expect(page(30_000) == Self.after(3000))
        #expect(page(30_000, at: 1000) == Self.after(4000))
    }
}
