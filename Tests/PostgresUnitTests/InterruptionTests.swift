import Testing

@testable import Postgres

@Suite struct InterruptionTests {
    private let start = ContinuousClock.now

    @Test func aPassedDeadlineAsksTheServerToStop() {
        var interruption = Interruption(deadline: start + .seconds(1), closesAtOnce: false)
        #expect(interruption.nextTick == start + .seconds(1))
        #expect(interruption.tick(now: start) == nil)
        #expect(interruption.tick(now: start + .seconds(1)) == .sendCancel)
        #expect(interruption.reason == .deadlineExceeded)
    }

    @Test func onlyTheFirstReasonCounts() {
        var interruption = Interruption(deadline: start, closesAtOnce: false)
        #expect(interruption.interrupt(.cancelled, now: start) == .sendCancel)
        #expect(interruption.tick(now: start) == nil)
        #expect(interruption.interrupt(.deadlineExceeded, now: start) == nil)
        #expect(interruption.reason == .cancelled)
    }

    @Test func aRequestWithoutEffectIsRepeatedButNeverTwoAtOnce() {
        var interruption = Interruption(deadline: nil, closesAtOnce: false)
        _ = interruption.interrupt(.cancelled, now: start)
        let later = start + Interruption.retryInterval
        #expect(interruption.tick(now: later) == nil)
        interruption.cancelReturned(now: start)
        #expect(interruption.nextTick == later)
        #expect(interruption.tick(now: later) == .sendCancel)
        #expect(interruption.tick(now: later) == nil)
    }

    @Test func aServerThatDoesNotStopInTimeLosesTheConnection() {
        var interruption = Interruption(deadline: nil, closesAtOnce: false)
        _ = interruption.interrupt(.cancelled, now: start)
        #expect(interruption.tick(now: start + Interruption.grace) == .close)
        var hasty = Interruption(deadline: nil, closesAtOnce: false, grace: .milliseconds(100))
        _ = hasty.interrupt(.cancelled, now: start)
        #expect(hasty.tick(now: start + .milliseconds(99)) == nil)
        #expect(hasty.tick(now: start + .milliseconds(100)) == .close)
    }

    @Test func anAttemptToConnectIsClosedAtOnce() {
        var interruption = Interruption(deadline: start, closesAtOnce: true)
        #expect(interruption.tick(now: start) == .close)
    }
}
