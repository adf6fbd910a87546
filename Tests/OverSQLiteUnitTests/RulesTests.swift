import GRDB
import Testing

@testable import OverSQLite

/// The rules that need no database.
@Suite struct RulesTests {
    @Test("backoff doubles up to its limit, honours Retry-After, and resets")
    func backoff() {
        var backoff = Backoff(1...60)
        #expect((0..<8).map { _ in backoff.failed(jitter: 1) } == [1, 2, 4, 8, 16, 32, 60, 60])
        #expect(backoff.failed(jitter: 0.5, retryAfter: 100) == 130)
        #expect(backoff.failed(jitter: 0) == 0)
        backoff.succeeded()
        #expect(backoff.failed(jitter: 1) == 1)
    }

    @Test("the loop fetches, sends, and then waits for news")
    func loop() {
        var machine = LoopMachine(pollInterval: 30, canPoll: true, backoff: 1...60)
        #expect(machine.next(now: 100) == .fetch)
        machine.fetched(now: 100)
        #expect(machine.next(now: 100) == .send)
        machine.sent(retryAt: 150)
        #expect(machine.next(now: 100) == .wait(until: 150, poll: true))
        machine.localChange()
        #expect(machine.next(now: 101) == .send)
        machine.sent(retryAt: nil)
        machine.polled(hasNews: true, early: true, now: 102)
        #expect(machine.next(now: 102) == .fetch)
    }

    @Test("H12: a gateway that holds no requests is polled at the interval")
    func polling() {
        var machine = LoopMachine(pollInterval: 30, canPoll: true, backoff: 1...60)
        machine.fetched(now: 100)
        machine.sent(retryAt: nil)
        machine.polled(hasNews: false, early: true, now: 100)
        #expect(machine.next(now: 100) == .wait(until: 130, poll: false))
        #expect(machine.next(now: 130) == .fetch)
        machine.fetched(now: 130)
        #expect(machine.next(now: 130) == .wait(until: 160, poll: false))
    }

    @Test("a failure that can pass is waited out, another blocks until the app acts")
    func failures() {
        var machine = LoopMachine(pollInterval: 30, canPoll: true, backoff: 1...60)
        #expect(machine.failed(.unreachable(""), now: 10, jitter: 1) == 11)
        machine.localChange()
        #expect(machine.next(now: 10) == .wait(until: 11, poll: false))
        #expect(machine.next(now: 11) == .fetch)
        #expect(machine.failed(.unauthorized(""), now: 20, jitter: 1) == nil)
        #expect(machine.next(now: 1000) == .wait(until: nil, poll: false))
        machine.nudged()
        #expect(machine.next(now: 1000) == .fetch)
    }

    @Test(
        "an upload run ends after answers that confirm nothing, and tries refused rows again only on progress"
    )
    func sendRun() {
        let row = TableKey(tableID: 1, key: DeviceRowKey(wire: "a"))
        var run = SendRun()
        #expect(run.answered(progress: 0, confirmed: 0, setAside: [row], isShrunk: false) == .go)
        #expect(run.emptied() == .stop)
        #expect(run.answered(progress: 1, confirmed: 1, setAside: [], isShrunk: false) == .go)
        #expect(run.emptied() == .retry([row]))
        #expect(run.answered(progress: 0, confirmed: 0, setAside: [row], isShrunk: false) == .go)
        #expect(run.emptied() == .stop)
        var contradicted = SendRun()
        let steps = (0..<SendRun.barrenAnswers).map { _ in
            contradicted.answered(progress: 1, confirmed: 0, setAside: [], isShrunk: false)
        }
        #expect(steps.last == .stop)
        #expect(steps.dropLast().allSatisfy { $0 == .go })
    }

    @Test("an acknowledgement without a version stands for the base and one more")
    func versionless() {
        func decide(_ operation: CapturedOperation, base: Int64) -> PushRules.Action {
            let change = SentChange(
                tableID: 1, key: DeviceRowKey(wire: "a"), changeID: 1, revision: 5, base: base,
                operation: operation)
            return PushRules.decide(
                .applied(version: nil), for: change, waiting: (5, base), sent: [1: 5],
                ownSource: "me", batchCount: 1)
        }
        #expect(decide(.insert, base: 0) == .confirm(version: 1))
        #expect(decide(.update, base: 3) == .confirm(version: 4))
        #expect(decide(.delete, base: 3) == .confirm(version: 4))
        #expect(decide(.delete, base: 0) == .confirm(version: nil))
    }

    @Test("the retry of a refused row comes later each time, within its limit")
    func retries() {
        #expect(RetrySchedule.next(.never, attempts: 0, now: 0, jitter: 1) == nil)
        #expect(RetrySchedule.next(.soon, attempts: 0, now: 100, jitter: 1) == 105)
        #expect(RetrySchedule.next(.soon, attempts: 3, now: 0, jitter: 0) == 20)
        #expect(
            RetrySchedule.next(.rarely, attempts: 50, now: 0, jitter: 1) == RetrySchedule.longest)
    }

    @Test(
        "SQL literals keep values exactly",
        arguments: [
            DatabaseValue.null, 0.1.databaseValue, Int64.min.databaseValue, "it's".databaseValue,
            "".databaseValue,
            (-1e300).databaseValue,
        ])
    func literals(value: DatabaseValue) {
        #expect(SQLLiteral.value(of: SQLLiteral.text(of: value)) == value)
    }

    @Test("a token tells its user and device")
    func token() {
        #expect(TokenClaims(token: "opaque") == TokenClaims(token: "a.b.c"))
        let claims = TokenClaims(token: "e30.eyJzdWIiOiJ1c2VyIiwiZGlkIjoiw7xiZXIifQ.x")
        #expect(claims.user == "user")
        #expect(claims.device == "über")
    }
}
