@testable import GapCheck
import Testing

@Suite("What a person who waits is told")
struct GapProgressTests {
    @Test("The line names the reader that is behind all others, and says when only reading is left")
    func lines() {
        let progress = GapProgress()
        progress.add(407)
        #expect(
            progress.line(of: 1000)
                == "407 of 1000 changes written, no reader has begun, 0 requests sent again")
        progress.move("cursor-50", to: 300)
        progress.move("longPoll-100", to: 250)
        progress.move("watch-70", to: 407)
        progress.sendAgain()
        #expect(
            progress.line(of: 1000)
                == "407 of 1000 changes written, slowest reader: longPoll-100 at 250, 1 requests sent again"
        )
        progress.move("longPoll-100", to: 350)
        progress.add(600)
        progress.finish(head: 1008)
        #expect(
            progress.line(of: 1000)
                == "all 1008 changes are written, readers are catching up, slowest reader: cursor-50 at 300, "
                + "1 requests sent again")
    }
}
