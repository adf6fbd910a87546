@testable import DownloadService
import Testing

@Suite("When last sequences are asked for")
struct HeadsPaceTests {
    private let start = ContinuousClock.now

    private func after(_ milliseconds: Int) -> ContinuousClock.Instant {
        start + .milliseconds(milliseconds)
    }

    /// A pace whose first poll took so many milliseconds.
    private func pace(afterPollOf milliseconds: Int, succeeded: Bool = true) -> HeadsPace {
        var pace = HeadsPace()
        pace.took(.poll, from: start, to: after(milliseconds), succeeded: succeeded)
        return pace
    }

    @Test(
        "It begins with a poll; without anybody waiting the next is due after the poll's interval")
    func idle() {
        #expect(HeadsPace().step(at: start, isWaiting: false) == .poll)
        let pace = pace(afterPollOf: 2)
        #expect(pace.step(at: after(501), isWaiting: false) == nil)
        #expect(pace.step(at: after(502), isWaiting: false) == .poll)
    }

    @Test("While somebody waits it probes in between, and polls all the same")
    func waiting() {
        var pace = pace(afterPollOf: 1)
        var steps: [HeadsPace.Step] = []
        for millisecond in 2..<1003 {
            guard let step = pace.step(at: after(millisecond), isWaiting: true) else { continue }
            steps.append(step)
            pace.took(step, from: after(millisecond), to: after(millisecond), succeeded: true)
        }
        #expect(steps.count { $0 == .poll } == 2)
        #expect((15...20).contains(steps.count { $0 == .probe }))
    }

    @Test("It rests nine times as long as a question took", arguments: [6, 20, 50, 3000])
    func duty(_ milliseconds: Int) {
        var pace = pace(afterPollOf: 0)
        let begin = 100
        pace.took(.probe, from: after(begin), to: after(begin + milliseconds), succeeded: true)
        let due = begin + milliseconds * (1 + HeadsPace.pausePerWork)
        for time in [due - 1, due] where time < 500 {
            let step = pace.step(at: after(time), isWaiting: true)
            #expect(step == (time < due ? nil : .probe))
        }
        // However long it takes, all users are asked for at their time.
        #expect(pace.step(at: after(5000), isWaiting: true) == .poll)
    }

    @Test("After a failure it does not probe before the poll's interval")
    func failed() {
        let pace = pace(afterPollOf: 0, succeeded: false)
        #expect(pace.step(at: after(499), isWaiting: true) == nil)
        #expect(pace.step(at: after(500), isWaiting: true) == .poll)
    }

    @Test("It sleeps until something is due, never longer than a new waiter may be overlooked")
    func pauses() {
        let pace = pace(afterPollOf: 0)
        #expect(pace.pause(at: after(20), isWaiting: true) == .milliseconds(30))
        #expect(pace.pause(at: after(70), isWaiting: true) == .zero)
        #expect(pace.pause(at: after(70), isWaiting: false) == HeadsPace.probeInterval)
        #expect(pace.pause(at: after(490), isWaiting: false) == .milliseconds(10))
    }
}
