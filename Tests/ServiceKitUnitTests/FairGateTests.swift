import Model
import ServiceKit
import Synchronization
import Testing
import Waiting

@Suite("Fair gate", .timeLimit(.minutes(1))) struct FairGateTests {
    private typealias Gate = FairGate<Int, Int>

    private struct Failed: Error {}

    /// Lets tasks wait until a test lets them go on.
    private actor Latch {
        private var isOpen = false
        private var waiting: [CheckedContinuation<Void, Never>] = []

        func wait() async {
            guard !isOpen else { return }
            await withCheckedContinuation { waiting.append($0) }
        }

        func open() {
            isOpen = true
            for each in waiting { each.resume() }
            waiting = []
        }
    }

    /// What was worked on, and how many at once.
    private final class Account: Sendable {
        private let state = Mutex((begun: [Int](), working: 0, most: 0))

        var begun: [Int] { state.withLock { $0.begun } }
        var most: Int { state.withLock { $0.most } }

        func begin(_ number: Int) {
            state.withLock { state in
                state.begun.append(number)
                state.working += 1
                state.most = max(state.most, state.working)
            }
        }

        func end() { state.withLock { $0.working -= 1 } }
    }

    private static let never = ContinuousClock.now + .seconds(3600)

    private static func gate(
        turns: Int = 1, waitingPerUser: Int = 100, perTurn: Int = 1
    ) -> Gate {
        Gate(
            FairQueue.Limits(
                turns: turns, turnsPerUser: 1, waiting: 200, waitingPerUser: waitingPerUser,
                requestsPerTurn: perTurn))
    }

    /// Returns when so many requests wait.
    private static func expectWaiting(_ count: Int, at gate: Gate) async {
        while gate.waiting != count { await Task.yield() }
    }

    @Test("One user's requests are answered one at a time, in order of arrival")
    func order() async throws {
        let gate = Self.gate(turns: 8)
        let latch = Latch()
        let account = Account()
        try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<50 {
                group.addTask {
                    try await gate.submit(number, of: "ada", by: Self.never) { request in
                        account.begin(request)
                        await latch.wait()
                        account.end()
                        return request * 2
                    }
                }
                // The first works, the others arrive one by one.
                await Self.expectWaiting(number, at: gate)
            }
            await latch.open()
            var answers: Set<Int> = []
            for try await answer in group { answers.insert(answer) }
            #expect(answers == Set((0..<50).map { $0 * 2 }))
        }
        #expect(account.begun == Array(0..<50))
        #expect(account.most == 1)
        #expect(gate.turns == 0)
    }

    @Test("A request whose turn does not come in time, or whose caller goes, leaves the line")
    func leaving() async throws {
        let gate = Self.gate()
        let latch = Latch()
        let first = Task {
            try await gate.submit(1, of: "ada", by: Self.never) { request in
                await latch.wait()
                return request
            }
        }
        while gate.turns == 0 { await Task.yield() }
        await #expect(throws: TurnRefusal.late) {
            try await gate.submit(2, of: "ada", by: .now + .milliseconds(60)) { $0 }
        }
        let cancelled = Task { try await gate.submit(3, of: "ada", by: Self.never) { $0 } }
        await Self.expectWaiting(1, at: gate)
        cancelled.cancel()
        await #expect(throws: TurnRefusal.cancelled) { try await cancelled.value }
        #expect(gate.waiting == 0)
        await latch.open()
        #expect(try await first.value == 1)
        // The gate is free again.
        #expect(try await gate.submit(4, of: "ada", by: .now) { $0 } == 4)
    }

    @Test("A request that was cancelled before it came does not wait")
    func cancelledBefore() async throws {
        let gate = Self.gate()
        let latch = Latch()
        let first = Task {
            try await gate.submit(1, of: "ada", by: Self.never) { request in
                await latch.wait()
                return request
            }
        }
        while gate.turns == 0 { await Task.yield() }
        let start = Latch()
        let late = Task {
            await start.wait()
            return try await gate.submit(2, of: "ada", by: Self.never) { $0 }
        }
        late.cancel()
        await start.open()
        await #expect(throws: TurnRefusal.cancelled) { try await late.value }
        #expect(gate.waiting == 0)
        await latch.open()
        #expect(try await first.value == 1)
    }

    @Test("A failure is of its own request, and the next turn begins")
    func failure() async throws {
        let gate = Self.gate()
        await #expect(throws: Failed.self) {
            try await gate.submit(1, of: "ada", by: Self.never) { _ in throw Failed() }
        }
        #expect(try await gate.submit(2, of: "ada", by: .now) { $0 } == 2)
    }

    @Test("The first of a turn's requests answers them all, each its own")
    func groups() async throws {
        let gate = Self.gate(perTurn: 10)
        let latch = Latch()
        let account = Account()
        let work: @Sendable ([Int]) async -> [Gate.Outcome] = { requests in
            await latch.wait()
            account.begin(requests.count)
            return requests.map { $0 == 3 ? .failure(Failed()) : .success($0 * 2) }
        }
        let tasks = [0, 1, 2, 3, 4].map { number in
            Task {
                while gate.turns + gate.waiting != number { await Task.yield() }
                return try await gate.submit(
                    number, of: "ada", by: Self.never, work: work)
            }
        }
        await Self.expectWaiting(4, at: gate)
        await latch.open()
        for (number, task) in tasks.enumerated() {
            switch await task.result {
            case .success(let answer): #expect(answer == number * 2)
            case .failure(let error): #expect(error is Failed && number == 3)
            }
        }
        // One turn of one request, and one of the four that waited meanwhile.
        #expect(account.begun == [1, 4])
        #expect(gate.turns == 0)
    }

    /// Submits a request that waits for `prepared` before its turn, and notes what it does.
    private static func preparing(
        _ number: Int, at gate: Gate, _ account: Account, until prepared: Latch,
        by latest: ContinuousClock.Instant = never, working: Latch
    ) -> Task<Int, any Error> {
        Task {
            while gate.turns + gate.waiting != number - 1 { await Task.yield() }
            return try await gate.submit(number, of: "ada", by: latest) {
                account.begin(-number)
                await prepared.wait()
            } answer: { request in
                account.begin(request)
                await working.wait()
                return request
            }
        }
    }

    @Test("The next of a user prepares while the one before it works, and works after it")
    func prepares() async throws {
        let gate = Self.gate()
        let account = Account()
        let (working, prepared) = (Latch(), Latch())
        await prepared.open()
        let tasks = (1...3).map {
            Self.preparing($0, at: gate, account, until: prepared, working: working)
        }
        // The second has prepared, and waits.
        while account.begun.count < 2 { await Task.yield() }
        await Self.expectWaiting(2, at: gate)
        #expect(account.begun == [1, -2])
        await working.open()
        for (number, task) in tasks.enumerated() { #expect(try await task.value == number + 1) }
        // What a later request prepares may come before or after the work of the one before it.
        #expect(account.begun.filter { $0 > 0 } == [1, 2, 3])
        #expect(account.begun.filter { $0 < 0 } == [-2, -3])
        #expect(gate.turns == 0)
    }

    @Test("A turn that comes while its request prepares begins when that is done")
    func preparesForLong() async throws {
        let gate = Self.gate()
        let account = Account()
        let (working, prepared) = (Latch(), Latch())
        let tasks = (1...2).map {
            Self.preparing($0, at: gate, account, until: prepared, working: working)
        }
        while account.begun.count < 2 { await Task.yield() }
        await working.open()
        #expect(try await tasks[0].value == 1)
        // The turn is the second's, which still prepares.
        #expect(gate.turns == 1)
        #expect(gate.waiting == 0)
        #expect(account.begun == [1, -2])
        await prepared.open()
        #expect(try await tasks[1].value == 2)
    }

    @Test("A request that is late, or whose caller goes, while it prepares gets no turn")
    func leavesWhilePreparing() async throws {
        let gate = Self.gate()
        let account = Account()
        let (working, prepared) = (Latch(), Latch())
        let first = Self.preparing(1, at: gate, account, until: prepared, working: working)
        while gate.turns == 0 { await Task.yield() }
        let late = Self.preparing(
            2, at: gate, account, until: prepared, by: .now + .milliseconds(40), working: working)
        while !account.begun.contains(-2) || gate.waiting > 0 { await Task.yield() }
        let cancelled = Self.preparing(2, at: gate, account, until: prepared, working: working)
        while account.begun.count(where: { $0 == -2 }) < 2 { await Task.yield() }
        cancelled.cancel()
        await Self.expectWaiting(0, at: gate)
        await prepared.open()
        await #expect(throws: TurnRefusal.late) { try await late.value }
        await #expect(throws: TurnRefusal.cancelled) { try await cancelled.value }
        await working.open()
        #expect(try await first.value == 1)
        #expect(account.begun == [1, -2, -2])
        #expect(try await gate.submit(4, of: "ada", by: .now) { $0 } == 4)
    }

    @Test("A full line refuses at once")
    func full() async throws {
        let gate = Self.gate(waitingPerUser: 1)
        let latch = Latch()
        let waiting = [1, 2].map { number in
            Task {
                while gate.turns + gate.waiting != number - 1 { await Task.yield() }
                return try await gate.submit(number, of: "ada", by: Self.never) { request in
                    await latch.wait()
                    return request
                }
            }
        }
        await Self.expectWaiting(1, at: gate)
        await #expect(throws: TurnRefusal.userIsFull) {
            try await gate.submit(3, of: "ada", by: Self.never) { $0 }
        }
        await latch.open()
        for task in waiting { _ = try await task.value }
    }
}
