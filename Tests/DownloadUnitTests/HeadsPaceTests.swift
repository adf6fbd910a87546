@testable import DownloadService
import Testing

@Suite("When last sequences are asked for")
struct HeadsPaceTests {
    private let start = ContinuousClock.now

    private func after(_ milliseconds: Int) -> ContinuousClock.Instant {
        start + .milliseconds(milliseconds)
    }

    /// A pace whose first poll took this many milliseconds.
    private func pace(
        afterPollOf milliseconds: Int, _ outcome: HeadsPace.Outcome = .quiet
    ) -> HeadsPace {
        var pace = HeadsPace()
        pace.took(.poll, from: start, to: after(milliseconds), outcome)
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
            pace.took(step, from: after(millisecond), to: after(millisecond), .quiet)
        }
        #expect(steps.count { $0 == .poll } == 2)
        #expect((15...20).contains(steps.count { $0 == .probe }))
    }

    @Test("It rests nine times as long as readings take", arguments: [6, 20, 30])
    func duty(_ milliseconds: Int) {
        var pace = pace(afterPollOf: 0)
        pace.took(.probe, from: after(0), to: after(milliseconds), .read)
        let begin = 100
        pace.took(.probe, from: after(begin), to: after(begin + milliseconds), .read)
        let due = begin + milliseconds * (1 + HeadsPace.pausePerReading)
        #expect(pace.step(at: after(due - 1), isWaiting: true) == nil)
        #expect(pace.step(at: after(due), isWaiting: true) == .probe)
    }

    @Test("One reading that was held up slows nothing down")
    func heldUp() {
        var pace = pace(afterPollOf: 0)
        pace.took(.probe, from: after(0), to: after(1), .read)
        pace.took(.probe, from: after(50), to: after(90), .read)
        #expect(pace.step(at: after(99), isWaiting: true) == nil)
        #expect(pace.step(at: after(100), isWaiting: true) == .probe)
    }

    @Test("However long readings take, all users are asked for at their time")
    func overloaded() {
        var pace = pace(afterPollOf: 0)
        for time in [0, 200] {
            pace.took(.probe, from: after(time), to: after(time + 100), .read)
        }
        #expect(pace.step(at: after(499), isWaiting: true) == nil)
        #expect(pace.step(at: after(500), isWaiting: true) == .poll)
        pace.took(.poll, from: after(500), to: after(700), .read)
        #expect(pace.step(at: after(1199), isWaiting: true) == nil)
        #expect(pace.step(at: after(1200), isWaiting: true) == .poll)
    }

    @Test("After a failure it does not probe before the poll's interval")
    func failed() {
        let pace = pace(afterPollOf: 0, .failed)
        #expect(pace.step(at: after(499), isWaiting: true) == nil)
        #expect(pace.step(at: after(500), isWaiting: true) == .poll)
    }

    @Test("It sleeps until something is due: a probe only where somebody waits")
    func pauses() {
        let pace = pace(afterPollOf: 0)
        #expect(pace.pause(at: after(20), isWaiting: true) == .milliseconds(30))
        #expect(pace.pause(at: after(70), isWaiting: true) == .zero)
        #expect(pace.pause(at: after(70), isWaiting: false) == .milliseconds(430))
        #expect(pace.pause(at: after(490), isWaiting: false) == .milliseconds(10))
    }
}
