import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Tokens that end, tasks that are cancelled, clocks that are set.
@Suite(.timeLimit(.minutes(1))) struct SuspensionTests {
    @Test("A token that ends between two pages, or before an upload, is renewed without a word")
    func expiredToken() async throws {
        let gateway = InMemoryGateway()
        for number in 1...4 { gateway.write("users", key(number), PullTests.user(number)) }
        let device = try Device("one", gateway) { $0.pageLimit = 2 }
        let tokens = LockedValue(
            (1...4).map { InMemoryGateway.token(user: "user", device: "one") + "\($0)" })
        let engine = try device.engine(credentials: { tokens.value[0] })
        let renew: @Sendable () async throws -> Void = {
            gateway.expire(tokens.change { $0.removeFirst() })
        }
        gateway.next(.download, .holdAnswer(until: renew))
        try await engine.fetchChanges()
        #expect(try device.count("SELECT count(*) FROM users") == 4)
        #expect(tokens.value.count == 3)
        try device.execute("UPDATE users SET name = 'b'")
        try await renew()
        try await engine.sendChanges()
        #expect(engine.status.pendingCount == 0)
        #expect(gateway.log().count == 8)
    }

    @Test(
        "An exchange that is cancelled at any request, before it or at its answer, is made good by the next"
    )
    func cancelled() async throws {
        for point in 1... {
            let gateway = InMemoryGateway()
            for number in 1...4 { gateway.write("users", key(number), PullTests.user(number)) }
            let cancelling = CancellingTransport(gateway, at: point)
            let device = try Device("one", gateway) { configuration in
                configuration.pageLimit = 2
                configuration.uploadLimit = 2
                configuration.transport = cancelling
            }
            for number in 11...14 {
                try device.execute("INSERT INTO users (id) VALUES (?)", [key(number)])
            }
            let task = Task { [engine = device.engine] in try await engine.syncChanges() }
            cancelling.watch(task)
            let result = await task.result
            if case .success = result, !cancelling.hasCancelled {
                // There were no more points.
                #expect(point > 8)
                return
            }
            #expect(throws: CancellationError.self, "\(point)") { try result.get() }
            try await device.sync()
            #expect(try device.count("SELECT count(*) FROM users") == 8, "\(point)")
            #expect(try device.queue().isEmpty, "\(point)")
            #expect(gateway.log().allSatisfy { $0.version == 1 }, "\(point)")
            #expect(device.engine.status.lastError == nil, "\(point)")
        }
    }

    @Test("A clock that is set back does not hold up the loop, refused rows, or the watchdog")
    func clockSetBack() async throws {
        let year = 365.0 * 86_400
        let device = try Device()
        device.gateway.next(.bootstrap, .loseRequest)
        try await device.engine.start()
        await device.clock.waitForSleeper()
        // The time of the next try is now a year away by the clock that everybody sees.
        device.clock.set(aheadBy: -year)
        device.clock.advance(seconds: 1)
        await EngineTests.status(device.engine) { $0.lastError == nil && $0.lastSynced != nil }
        await device.engine.stop()

        device.gateway.refuse("users", key(1), reason: "fk_missing")
        try device.execute("INSERT INTO users (id) VALUES ('\(key(1))')")
        try await device.sync()
        device.gateway.refuse("users", key(1), reason: nil)
        device.clock.set(aheadBy: -year)
        try await device.sync()
        #expect(device.engine.status.rejectedCount == 0)
        #expect(device.gateway.rows("users").count == 1)

        var watchdog = Watchdog(limit: 60)
        #expect(watchdog.observe(pending: 1, confirmed: false, now: year) == nil)
        #expect(watchdog.observe(pending: 1, confirmed: false, now: 0) == nil)
        #expect(watchdog.observe(pending: 1, confirmed: false, now: 61) == 61)
    }

    @Test("After a leap ahead everything that was due is done once")
    func clockSetAhead() async throws {
        let device = try Device()
        device.gateway.refuse("users", key(1), reason: "fk_missing")
        try device.execute("INSERT INTO users (id) VALUES ('\(key(1))')")
        try await device.sync()
        let uploads = device.gateway.uploads.count
        device.clock.advance(seconds: 1_000_000_000)
        try await device.sync()
        #expect(device.gateway.uploads.count == uploads + 1)
        device.gateway.refuse("users", key(1), reason: nil)
        device.clock.advance(seconds: RetrySchedule.longest)
        try await device.sync()
        #expect(device.gateway.log().count == 1)
    }

    @Test("A machine whose clock is set back tries again at once, not in a year")
    func machineSetBack() {
        var machine = LoopMachine(pollInterval: 30, canPoll: false, backoff: 1...60)
        machine.fetched(now: 1000)
        machine.sent(retryAt: 1500)
        #expect(machine.next(now: 1000) == .wait(until: 1030, poll: false))
        #expect(machine.next(now: 10) == .fetch)
        _ = machine.failed(.unreachable(""), now: 1000, jitter: 1)
        #expect(machine.next(now: 1000) == .wait(until: 1001, poll: false))
        #expect(machine.next(now: 10) == .fetch)
    }
}

/// Cancels a task at the n-th point: before a request, or when its answer is there.
private final class CancellingTransport: HTTPTransport {
    private struct State {
        var passed = 0
        var task: Task<Void, any Error>?
    }

    private let base: any HTTPTransport
    private let point: Int
    private let state = LockedValue(State())

    init(_ base: any HTTPTransport, at point: Int) {
        self.base = base
        self.point = point
    }

    var hasCancelled: Bool { state.value.passed >= point }

    func watch(_ task: Task<Void, any Error>) {
        state.change { state in
            state.task = task
            if state.passed >= point { task.cancel() }
        }
    }

    func send(_ request: TransportRequest) async throws -> TransportResponse {
        pass()
        try Task.checkCancellation()
        let response = try await base.send(request)
        pass()
        return response
    }

    private func pass() {
        state.change { state in
            state.passed += 1
            if state.passed == point { state.task?.cancel() }
        }
    }
}
