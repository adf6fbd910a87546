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

    /// Returns when this many requests wait.
    private static func expectWaiting(_ count: Int, at gate: Gate) async {
        while gate.waiting != count { await Task.yield() }
    }

    /// Returns when this many requests wait and have prepared.
    private static func expectPrepared(_ count: Int, at gate: Gate) async {
        while gate.waiting != count || gate.prepared != count { await Task.yield() }
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

    /// Requests that arrive one after the other, and share turns.
    private static func sharing(
        _ numbers: ClosedRange<Int>, at gate: Gate, alone: Latch,
        _ together: @escaping @Sendable (Gate.Group) async -> Void
    ) -> [Task<Int, any Error>] {
        numbers.map { number in
            Task {
                while gate.turns + gate.waiting != number - 1 { await Task.yield() }
                return try await gate.submit(number, of: "ada", by: never) {
                    FairQueue.Load(items: 1, bytes: 1)
                } together: {
                    await together($0)
                } answer: { request in
                    await alone.wait()
                    return request
                }
            }
        }
    }

    @Test("Requests that wait are worked on together, and each has its own answer")
    func groups() async throws {
        let gate = Self.gate(perTurn: 10)
        let latch = Latch()
        let account = Account()
        let tasks = Self.sharing(1...5, at: gate, alone: latch) { group in
            account.begin(group.requests.count)
            for (place, request) in group.requests.enumerated() {
                group.answer(place, request == 3 ? .failure(Failed()) : .success(request * 2))
                // The first answer counts.
                group.answer(place, .success(0))
            }
        }
        await Self.expectPrepared(4, at: gate)
        await latch.open()
        #expect(try await tasks[0].value == 1)
        for (place, task) in tasks.enumerated().dropFirst() {
            switch await task.result {
            case .success(let answer): #expect(answer == (place + 1) * 2)
            case .failure(let error): #expect(error is Failed && place == 2)
            }
        }
        #expect(account.begun == [4])
        while gate.turns > 0 { await Task.yield() }
    }

    @Test("A caller that goes takes no other of its group with it, the first one least of all")
    func cancelledGroup() async throws {
        let gate = Self.gate(perTurn: 10)
        let (alone, together) = (Latch(), Latch())
        let account = Account()
        let tasks = Self.sharing(1...4, at: gate, alone: alone) { group in
            account.begin(group.requests.count)
            await together.wait()
            for (place, request) in group.requests.enumerated() {
                group.answer(place, Task.isCancelled ? .failure(Failed()) : .success(request))
            }
        }
        await Self.expectPrepared(3, at: gate)
        await alone.open()
        while account.begun.isEmpty { await Task.yield() }
        for task in tasks { task.cancel() }
        await together.open()
        for (place, task) in tasks.enumerated() { #expect(try await task.value == place + 1) }
    }

    @Test("An answer does not wait for the others of its group; one that is missing is a refusal")
    func answersOfGroup() async throws {
        let gate = Self.gate(perTurn: 10)
        let (alone, together) = (Latch(), Latch())
        let tasks = Self.sharing(1...4, at: gate, alone: alone) { group in
            group.answer(1, .success(30))
            await together.wait()
            group.answer(0, .success(20))
        }
        await Self.expectPrepared(3, at: gate)
        await alone.open()
        #expect(try await tasks[2].value == 30)
        #expect(gate.turns == 1)
        await together.open()
        #expect(try await tasks[1].value == 20)
        await #expect(throws: TurnRefusal.cancelled) { try await tasks[3].value }
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
                return nil
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
