import Testing
import Waiting

@testable import Postgres

@Suite struct PoolMachineTests {
    private let start = ContinuousClock.now
    private let down = PostgresError.Kind.connectFailed("refused")

    private func machine(
        minimum: Int = 0, maximum: Int = 2, lifetime: Duration = .seconds(1000),
        idleTime: Duration = .seconds(60), waiters: Int = 10, timeout: Duration = .seconds(5),
        bridge: Duration = .seconds(1), check: Duration = .seconds(30)
    ) throws -> PoolMachine {
        PoolMachine(
            try PoolConfiguration(
                minimumConnections: minimum, maximumConnections: maximum,
                maximumLifetime: lifetime, maximumIdleTime: idleTime, maximumWaiters: waiters,
                acquireTimeout: timeout, outageBridge: bridge, healthCheckAfterIdle: check))
    }

    @Test func aFirstCallerOpensAConnectionAndGetsIt() throws {
        var pool = try machine()
        let (waiter, actions) = pool.acquire(deadline: nil, now: start)
        #expect(actions == [.open(1)])
        #expect(pool.opened(1, now: start, jitter: 0) == [.hand(1, to: waiter)])
        #expect(pool.release(1, isReusable: true, now: start) == [])
        #expect(pool.statistics.idle == 1)
    }

    @Test func callersAreServedInTheOrderInWhichTheyCame() throws {
        var pool = try machine(maximum: 1)
        let (first, _) = pool.acquire(deadline: nil, now: start)
        let (second, none) = pool.acquire(deadline: nil, now: start)
        let (third, _) = pool.acquire(deadline: nil, now: start)
        #expect(none == [])
        #expect(pool.opened(1, now: start, jitter: 0) == [.hand(1, to: first)])
        #expect(pool.release(1, isReusable: true, now: start) == [.hand(1, to: second)])
        #expect(pool.release(1, isReusable: true, now: start) == [.hand(1, to: third)])
    }

    @Test func aCallerTooManyIsRefusedAtOnce() throws {
        var pool = try machine(maximum: 1, waiters: 1)
        _ = pool.acquire(deadline: nil, now: start)
        _ = pool.acquire(deadline: nil, now: start)
        let (waiter, actions) = pool.acquire(deadline: nil, now: start)
        #expect(actions == [.refuse(waiter, .poolExhausted)])
    }

    @Test func aWaiterEndsByItsOwnDeadlineOrThePoolsWhicheverIsEarlier() throws {
        var pool = try machine(maximum: 1, timeout: .seconds(5))
        let (patient, _) = pool.acquire(deadline: start + .seconds(60), now: start)
        let (hasty, _) = pool.acquire(deadline: start + .seconds(1), now: start)
        #expect(pool.nextTick == start + .seconds(1))
        #expect(pool.tick(now: start + .seconds(1)) == [.refuse(hasty, .deadlineExceeded)])
        #expect(pool.nextTick == start + .seconds(5))
        #expect(pool.tick(now: start + .seconds(5)) == [.refuse(patient, .poolExhausted)])
    }

    @Test func failedAttemptsAreRepeatedWithGrowingPausesAndWaitersStayWhileTheOutageIsBridged()
        throws
    {
        var pool = try machine(timeout: .seconds(500), bridge: .seconds(500))
        let (waiter, _) = pool.acquire(deadline: nil, now: start)
        var now = start
        var pauses: [Duration] = []
        for attempt in 1...9 {
            #expect(
                pool.openFailed(attempt, because: down, now: now, jitter: 1) == [.close(attempt)])
            let next = try #require(pool.nextTick)
            pauses.append(next - now)
            now = next
            #expect(pool.tick(now: now) == [.open(attempt + 1)])
        }
        #expect(pauses.first == PoolMachine.backoff.first)
        #expect(pauses[1] == PoolMachine.backoff.first * 2)
        #expect(pauses.last == PoolMachine.backoff.longest)
        #expect(pool.opened(10, now: now, jitter: 0) == [.hand(10, to: waiter)])
    }

    @Test func callersDoNotNoticeAnOutageThatIsOverBeforeTheBridgeEnds() throws {
        var pool = try machine(bridge: .seconds(1))
        let (waiter, _) = pool.acquire(deadline: nil, now: start)
        #expect(pool.openFailed(1, because: down, now: start, jitter: 1) == [.close(1)])
        let later = start + .milliseconds(999)
        #expect(pool.tick(now: later) == [.open(2)])
        #expect(pool.opened(2, now: later, jitter: 0) == [.hand(2, to: waiter)])
        #expect(pool.failure == nil)
    }

    @Test func afterTheBridgeCallersAreRefusedAtOnceWithTheCause() throws {
        var pool = try machine(bridge: .seconds(1))
        let (early, _) = pool.acquire(deadline: nil, now: start)
        _ = pool.openFailed(1, because: down, now: start, jitter: 1)
        _ = pool.tick(now: start + .milliseconds(900))
        let starting = PostgresError.Kind.connectFailed("starting", .cannotConnectNow)
        let failed = start + .milliseconds(950)
        #expect(pool.openFailed(2, because: starting, now: failed, jitter: 1) == [.close(2)])
        // The bridge ends in the pause before the next attempt.
        #expect(pool.nextTick == start + .seconds(1))
        #expect(pool.tick(now: start + .seconds(1)) == [.refuse(early, starting)])
        let (late, actions) = pool.acquire(deadline: nil, now: start + .milliseconds(1010))
        #expect(actions == [.refuse(late, starting)])
        #expect(pool.failure == starting)
        // One who comes after the pause has an attempt made, and hears how it went.
        let next = start + .seconds(60)
        let (last, opening) = pool.acquire(deadline: nil, now: next)
        #expect(opening == [.open(3)])
        #expect(
            pool.openFailed(3, because: down, now: next, jitter: 1)
                == [.close(3), .refuse(last, down)])
    }

    @Test func whileAConnectionIsInUseAFailedAttemptRefusesNobody() throws {
        var pool = try machine(maximum: 2, bridge: .zero)
        _ = pool.acquire(deadline: nil, now: start)
        _ = pool.opened(1, now: start, jitter: 0)
        let (waiter, _) = pool.acquire(deadline: nil, now: start)
        let full = PostgresError.Kind.connectFailed("full", .tooManyConnections)
        #expect(pool.openFailed(2, because: full, now: start, jitter: 1) == [.close(2)])
        #expect(pool.failure == nil)
        #expect(pool.release(1, isReusable: true, now: start) == [.hand(1, to: waiter)])
    }

    @Test func aServerThatSomebodyElseHasReachedIsTriedAtOnce() throws {
        var pool = try machine(minimum: 2, maximum: 2, bridge: .zero)
        #expect(pool.retry(now: start) == [])
        _ = pool.start(now: start)
        for id in 1...2 { _ = pool.openFailed(id, because: down, now: start, jitter: 1) }
        #expect(pool.retry(now: start) == [.open(3)])
        // Not twice at a time, as long as it is not known to be back.
        #expect(pool.retry(now: start) == [])
        #expect(pool.opened(3, now: start, jitter: 0) == [.open(4)])
    }

    @Test func anAttemptThatHangsDuringAnOutageLetsNobodyWaitForItsEnd() throws {
        var pool = try machine(timeout: .seconds(5), bridge: .seconds(1))
        let (first, _) = pool.acquire(deadline: nil, now: start)
        _ = pool.openFailed(1, because: down, now: start, jitter: 1)
        let second = start + .seconds(2)
        #expect(pool.tick(now: second).contains(.open(2)))
        // It began just now and may succeed.
        let (hopeful, none) = pool.acquire(deadline: nil, now: second)
        #expect(none == [])
        let end = second + PoolMachine.attemptPatience
        #expect(pool.nextTick == end)
        #expect(pool.tick(now: end) == [.refuse(first, down), .refuse(hopeful, down)])
        let (late, refused) = pool.acquire(deadline: nil, now: end + .seconds(1))
        #expect(refused == [.refuse(late, down)])
        // The server is back: the attempt that hangs is not waited for.
        #expect(pool.retry(now: end + .seconds(2)) == [.close(2), .open(3)])
        #expect(pool.openFailed(2, because: down, now: end + .seconds(2), jitter: 1) == [])
    }

    @Test func aPoolWithoutAMinimumFindsTheServerAgainAlthoughNobodyWaits() throws {
        var pool = try machine(minimum: 0, bridge: .zero)
        _ = pool.acquire(deadline: nil, now: start)
        _ = pool.openFailed(1, because: down, now: start, jitter: 1)
        #expect(pool.failure == down)
        #expect(pool.retry(now: start) == [.open(2)])
        #expect(pool.opened(2, now: start, jitter: 0) == [])
        #expect(pool.failure == nil)
    }

    @Test func whileTheServerIsDownOnlyOneAttemptIsMadeAtATime() throws {
        var pool = try machine(maximum: 5)
        for _ in 0..<5 { _ = pool.acquire(deadline: nil, now: start) }
        for id in 1...5 { _ = pool.openFailed(id, because: down, now: start, jitter: 1) }
        #expect(pool.tick(now: start + .seconds(1)) == [.open(6)])
    }

    @Test func aConnectionThatWasIdleForLongIsCheckedBeforeItIsHandedOut() throws {
        var pool = try machine(maximum: 1, idleTime: .seconds(600), check: .seconds(30))
        _ = pool.acquire(deadline: nil, now: start)
        _ = pool.opened(1, now: start, jitter: 0)
        _ = pool.release(1, isReusable: true, now: start)
        let later = start + .seconds(30)
        let (waiter, actions) = pool.acquire(deadline: nil, now: later)
        #expect(actions == [.check(1)])
        #expect(pool.checked(1, isHealthy: true, now: later) == [.hand(1, to: waiter)])
    }

    @Test func aConnectionThatFailsItsCheckIsReplaced() throws {
        var pool = try machine(maximum: 1, idleTime: .seconds(600), check: .seconds(30))
        _ = pool.acquire(deadline: nil, now: start)
        _ = pool.opened(1, now: start, jitter: 0)
        _ = pool.release(1, isReusable: true, now: start)
        let later = start + .seconds(30)
        let (waiter, _) = pool.acquire(deadline: nil, now: later)
        #expect(pool.checked(1, isHealthy: false, now: later) == [.close(1), .open(2)])
        #expect(pool.opened(2, now: later, jitter: 0) == [.hand(2, to: waiter)])
    }

    @Test func anOldConnectionIsReplacedWhenItComesBack() throws {
        var pool = try machine(minimum: 1, maximum: 1, lifetime: .seconds(100))
        #expect(pool.start(now: start) == [.open(1)])
        _ = pool.opened(1, now: start, jitter: 0.5)
        _ = pool.acquire(deadline: nil, now: start)
        let after = start + .seconds(95)
        #expect(pool.release(1, isReusable: true, now: after) == [.close(1), .open(2)])
    }

    @Test func idleConnectionsAboveTheMinimumAreClosedTheLongestUnusedFirst() throws {
        var pool = try machine(minimum: 1, maximum: 2, idleTime: .seconds(60))
        _ = pool.start(now: start)
        _ = pool.opened(1, now: start, jitter: 0)
        _ = pool.acquire(deadline: nil, now: start)
        _ = pool.acquire(deadline: nil, now: start)
        _ = pool.opened(2, now: start, jitter: 0)
        _ = pool.release(2, isReusable: true, now: start)
        _ = pool.release(1, isReusable: true, now: start + .seconds(1))
        #expect(pool.tick(now: start + .seconds(60)) == [.close(2)])
        #expect(pool.tick(now: start + .seconds(61)) == [])
    }

    @Test func aLostConnectionFreesItsPlaceWhileSomebodyStillHoldsIt() throws {
        var pool = try machine(maximum: 1)
        _ = pool.acquire(deadline: nil, now: start)
        _ = pool.opened(1, now: start, jitter: 0)
        let (waiter, _) = pool.acquire(deadline: nil, now: start)
        #expect(pool.lost(1, now: start) == [.close(1), .open(2)])
        #expect(pool.opened(2, now: start, jitter: 0) == [.hand(2, to: waiter)])
        #expect(pool.release(1, isReusable: true, now: start) == [])
        #expect(pool.statistics.inUse == 1)
    }

    @Test func drainingWaitsForBorrowersUnlessForced() throws {
        var pool = try machine(maximum: 3)
        _ = pool.acquire(deadline: nil, now: start)
        _ = pool.opened(1, now: start, jitter: 0)
        _ = pool.acquire(deadline: nil, now: start)
        _ = pool.opened(2, now: start, jitter: 0)
        _ = pool.release(2, isReusable: true, now: start)
        #expect(pool.drain(force: false, now: start) == [.close(2)])
        let (late, refused) = pool.acquire(deadline: nil, now: start)
        #expect(refused == [.refuse(late, .poolClosed)])
        var forced = pool
        #expect(forced.drain(force: true, now: start) == [.close(1), .finished])
        #expect(pool.release(1, isReusable: true, now: start) == [.close(1), .finished])
    }
}
