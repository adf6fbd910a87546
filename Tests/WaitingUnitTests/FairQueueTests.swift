import Model
import SeededRandom
import Testing

@testable import Waiting

@Suite("Fair queue") struct FairQueueTests {
    @Test(
        "Random arrivals: nobody waits who could begin, each user's requests begin in order",
        arguments: 0..<300)
    func walk(seed: UInt64) throws {
        var walk = QueueWalk(seed: seed)
        for _ in 0..<500 { try walk.step() }
        try walk.drain()
    }

    /// Users that always have requests waiting, whose turns cause `work` by a generator of theirs.
    private static func shares(
        seed: UInt64, users: Int, turns: Int, until end: Double
    ) -> (work: [UserID: Double], largest: Double) {
        var random = SeededGenerator(seed: seed)
        var queue = FairQueue(
            .init(turns: turns, turnsPerUser: 1, waiting: 10_000, waitingPerUser: 1000))
        var work: [UserID: Double] = [:]
        var largest = 0.0
        var begun: [FairQueue.Turn] = []
        var id = 0
        for user in 0..<users {
            // Each keeps requests waiting; who has more connections gets no more work done.
            for _ in 0..<(user == 0 ? 50 : 2) {
                id += 1
                if case .begins(let turn) = queue.arrive(id, from: UserID("u\(user)")) {
                    begun.append(turn)
                }
            }
        }
        while work.values.reduce(0, +) < end {
            let turn = begun.remove(at: Int.random(in: 0..<begun.count, using: &random))
            // The first user's turns are the largest.
            let caused = Double.random(in: 0.001...(turn.user == "u0" ? 1 : 0.1), using: &random)
            largest = max(largest, caused)
            work[turn.user, default: 0] += caused
            id += 1
            _ = queue.arrive(id, from: turn.user)
            begun += queue.finish(turn, work: caused)
        }
        return (work, largest)
    }

    @Test(
        "Users that always have requests waiting cause the same work, whatever their turns cost",
        arguments: [(5, 1), (5, 3), (40, 16)], 0..<5 as Range<UInt64>)
    func fairness(users: (count: Int, turns: Int), seed: UInt64) {
        let (work, largest) = Self.shares(
            seed: seed, users: users.count, turns: users.turns, until: Double(users.count) * 20)
        #expect(work.count == users.count)
        let least = work.values.min() ?? 0
        let most = work.values.max() ?? 0
        // One turn of difference, and one that was under way when the count ended.
        #expect(most - least <= 2 * largest, "\(work)")
    }

    @Test("Who had nothing to do is served next, and saves up nothing")
    func newcomer() {
        var queue = FairQueue(.init(turns: 1, turnsPerUser: 1, waiting: 100, waitingPerUser: 50))
        guard case .begins(var turn) = queue.arrive(0, from: "greedy") else {
            Issue.record("the first request waits")
            return
        }
        for id in 1...20 { #expect(queue.arrive(id, from: "greedy") == .waits) }
        for _ in 0..<5 { turn = queue.finish(turn, work: 10)[0] }
        #expect(queue.arrive(100, from: "new") == .waits)
        #expect(queue.arrive(101, from: "new") == .waits)
        var order: [UserID] = []
        for _ in 0..<4 {
            turn = queue.finish(turn, work: turn.user == "new" ? 1 : 10)[0]
            order.append(turn.user)
        }
        // Both of its small requests come before the next large one, and no more than that.
        #expect(order == ["new", "new", "greedy", "greedy"])
    }

    @Test("A user whose turns overlap does not pull the scale back for those who join late")
    func lateJoiners() {
        var queue = FairQueue(.init(turns: 2, turnsPerUser: 2, waiting: 100, waitingPerUser: 50))
        func begun(_ id: Int, _ user: UserID) -> FairQueue.Turn? {
            if case .begins(let turn) = queue.arrive(id, from: user) { turn } else { nil }
        }
        // `old` always has a turn under way, and so keeps the mark of its first one.
        let old = begun(1, "old")
        // `busy` moves the scale far beyond it.
        for id in 2...20 {
            guard let turn = begun(id, "busy") else {
                Issue.record("the second turn is not free")
                return
            }
            _ = queue.finish(turn, work: 10)
        }
        guard let second = begun(21, "old"), let old else {
            Issue.record("the second turn is not free")
            return
        }
        // `late` and `busy` wait. `late` may not have a hundred turns before `busy` has one.
        for id in 100...130 { _ = queue.arrive(id, from: "late") }
        _ = queue.arrive(200, from: "busy")
        var turns = queue.finish(old, work: 1) + queue.finish(second, work: 1)
        var lateTurns = 0
        while let turn = turns.popLast(), turn.user != "busy" {
            lateTurns += 1
            turns += queue.finish(turn, work: 10)
        }
        #expect(lateTurns <= 4)
    }

    /// A user with one turn under way, and requests that wait.
    private static func working(
        _ ids: ClosedRange<Int>, perTurn: Int, load: FairQueue.Load = .init(items: 100, bytes: 100)
    ) throws -> (queue: FairQueue, turn: FairQueue.Turn) {
        var queue = FairQueue(
            .init(
                turns: 2, turnsPerUser: 1, waiting: 100, waitingPerUser: 50,
                requestsPerTurn: perTurn, loadPerTurn: load))
        var first: FairQueue.Turn?
        if case .begins(let turn) = queue.arrive(ids.lowerBound, from: "ada") { first = turn }
        for id in ids.dropFirst() { #expect(queue.arrive(id, from: "ada") == .waits) }
        return (queue, try #require(first))
    }

    private static let small = FairQueue.Load(items: 1, bytes: 1)

    @Test("Requests of a user that have prepared share a turn, as many as may be")
    func groups() throws {
        var (queue, first) = try Self.working(1...6, perTurn: 3)
        #expect(first.requests == [1])
        for id in [2, 3, 4] {
            #expect(queue.prepareNext(of: "ada") == id)
            // One at a time.
            #expect(queue.prepareNext(of: "ada") == nil)
            queue.prepared(id, of: "ada", as: Self.small)
        }
        // As many as may share the next turn.
        #expect(queue.prepareNext(of: "ada") == nil)
        #expect(queue.leave(3, of: "ada") == true)
        #expect(queue.prepareNext(of: "ada") == 5)
        queue.prepared(5, of: "ada", as: Self.small)
        let second = queue.finish(first, work: 1)
        #expect(second.map(\.requests) == [[2, 4, 5]])
        #expect(queue.leave(4, of: "ada") == false)
        #expect(queue.finish(second[0], work: 1).map(\.requests) == [[6]])
    }

    @Test("A turn ends before a request that works alone, has not prepared, or brings too much")
    func groupsEnd() throws {
        let loads: [FairQueue.Load?] = [
            Self.small, Self.small, nil, Self.small, .init(items: 100, bytes: 1), Self.small,
            .init(items: 1, bytes: 100), .init(items: 1, bytes: 0),
        ]
        var (queue, turn) = try Self.working(1...10, perTurn: 9)
        for (place, load) in loads.enumerated() {
            #expect(queue.prepareNext(of: "ada") == place + 2)
            queue.prepared(place + 2, of: "ada", as: load)
        }
        var turns: [[Int]] = []
        while let next = queue.finish(turn, work: 1).first {
            turns.append(next.requests)
            turn = next
        }
        #expect(turns == [[2, 3], [4], [5], [6], [7], [8, 9], [10]])
    }

    @Test("While a user works, its next request prepares, and no other")
    func preparing() {
        var queue = FairQueue(.init(turns: 1, turnsPerUser: 1, waiting: 100, waitingPerUser: 50))
        guard case .begins(let first) = queue.arrive(1, from: "ada") else {
            Issue.record("the first request waits")
            return
        }
        #expect(queue.prepareNext(of: "ada") == nil)
        for id in 2...4 { _ = queue.arrive(id, from: "ada") }
        _ = queue.arrive(10, from: "ben")
        #expect(queue.prepareNext(of: "ada") == 2)
        #expect(queue.prepareNext(of: "ada") == nil)
        // Nothing of this user is under way.
        #expect(queue.prepareNext(of: "ben") == nil)
        #expect(queue.leave(2, of: "ada") == true)
        #expect(queue.prepareNext(of: "ada") == 3)
        let turns = queue.finish(first, work: 1)
        #expect(turns.map(\.user) == ["ben"])
        #expect(queue.prepareNext(of: "ada") == nil)
        #expect(queue.finish(turns[0], work: 1).map(\.requests) == [[3]])
        #expect(queue.prepareNext(of: "ada") == 4)
    }

    @Test("Too many of one user, and too many of all, are refused")
    func bounds() {
        var queue = FairQueue(.init(turns: 1, turnsPerUser: 1, waiting: 3, waitingPerUser: 2))
        _ = queue.arrive(1, from: "ada")
        #expect(queue.arrive(2, from: "ada") == .waits)
        #expect(queue.arrive(3, from: "ada") == .waits)
        #expect(queue.arrive(4, from: "ada") == .refused(.user))
        #expect(queue.arrive(5, from: "ben") == .waits)
        #expect(queue.arrive(6, from: "ben") == .refused(.all))
        // Who has nothing in a full queue still gets a place, within a second bound.
        for (id, user) in [(7, "eva"), (8, "joe"), (9, "sue")] as [(Int, UserID)] {
            #expect(queue.arrive(id, from: user) == .waits)
        }
        #expect(queue.arrive(10, from: "tom") == .refused(.all))
        #expect(queue.waiting == 6)
    }

    @Test("Users whose ids differ in bytes alone are two users")
    func spelling() {
        var queue = FairQueue(.init(turns: 2, turnsPerUser: 1, waiting: 3, waitingPerUser: 2))
        let composed: UserID = "ad\u{E9}"
        let decomposed: UserID = "ade\u{301}"
        #expect(queue.arrive(1, from: composed) == .begins(.init(user: composed, requests: [1])))
        #expect(
            queue.arrive(2, from: decomposed) == .begins(.init(user: decomposed, requests: [2])))
        #expect(queue.arrive(3, from: composed) == .waits)
    }

    @Test("What is remembered of users without requests is bounded")
    func memory() {
        var queue = FairQueue(.init(turns: 2, turnsPerUser: 1, waiting: 10, waitingPerUser: 5))
        guard case .begins = queue.arrive(0, from: "always there") else {
            Issue.record("the first request waits")
            return
        }
        for id in 1...(3 * FairQueue.maximumIdleUsers) {
            guard case .begins(let turn) = queue.arrive(id, from: UserID("user \(id)")) else {
                Issue.record("a request waits, though a turn is free")
                return
            }
            _ = queue.finish(turn, work: 1)
            guard queue.rememberedUsers <= FairQueue.maximumIdleUsers + 2 else {
                Issue.record("\(queue.rememberedUsers) users are remembered")
                return
            }
        }
    }
}

/// The queue together with a plain account of what it said.
private struct QueueWalk {
    private var random: SeededGenerator
    /// A request that waits, as the walk knows it.
    private struct Request {
        let id: Int
        var isAsked = false
        var load: FairQueue.Load?
    }

    private let limits: FairQueue.Limits
    private var queue: FairQueue
    private var lastID = 0
    /// Requests that wait, in order of arrival.
    private var waiting: [UserID: [Request]] = [:]
    /// Those that prepare, and whether they still wait.
    private var preparing: [(id: Int, user: UserID)] = []
    private var turns: [FairQueue.Turn] = []

    init(seed: UInt64) {
        random = SeededGenerator(seed: seed)
        limits = FairQueue.Limits(
            turns: Int.random(in: 1...6, using: &random),
            turnsPerUser: Int.random(in: 1...3, using: &random),
            waiting: Int.random(in: 0...30, using: &random),
            waitingPerUser: Int.random(in: 0...10, using: &random),
            requestsPerTurn: Int.random(in: 1...4, using: &random),
            loadPerTurn: FairQueue.Load(
                items: Int.random(in: 5...40, using: &random),
                bytes: Int.random(in: 500...4000, using: &random)))
        queue = FairQueue(limits)
    }

    private var waitingCount: Int { waiting.values.reduce(0) { $0 + $1.count } }

    private func turnCount(of user: UserID) -> Int { turns.count { $0.user == user } }

    private mutating func user() -> UserID {
        UserID("u\(Int.random(in: 0..<5, using: &random))")
    }

    mutating func step() throws {
        switch Int.random(in: 0..<16, using: &random) {
        case 0..<5: try arrive()
        case 5:
            let user = user()
            guard let id = waiting[user]?.randomElement(using: &random)?.id else { return }
            try #require(queue.leave(id, of: user) == true)
            waiting[user]?.removeAll { $0.id == id }
            try #require(queue.leave(id, of: user) == false)
        case 6..<9: try prepare()
        case 9..<12: try endPreparation()
        default: try finish()
        }
        try check()
    }

    /// Everything that waits gets its turn.
    mutating func drain() throws {
        while !turns.isEmpty {
            try finish()
            try check()
        }
        while !preparing.isEmpty { try endPreparation() }
        try #require(waitingCount == 0)
        try #require(queue.rememberedUsers == 0)
    }

    private mutating func arrive() throws {
        lastID += 1
        let user = user()
        let own = waiting[user]?.count ?? 0
        switch queue.arrive(lastID, from: user) {
        case .begins(let turn):
            try #require(own == 0)
            try #require(turn == FairQueue.Turn(user: user, requests: [lastID]))
            turns.append(turn)
        case .waits:
            waiting[user, default: []].append(Request(id: lastID))
        case .refused(.user): try #require(own == limits.waitingPerUser)
        case .refused(.all):
            try #require(waitingCount >= (own == 0 ? 2 * limits.waiting : limits.waiting))
        }
    }

    /// One of a user's requests at a time, in order, as far as they may share its next turn.
    private mutating func prepare() throws {
        let user = user()
        let requests = waiting[user] ?? []
        let isPreparing = preparing.contains { each in requests.contains { $0.id == each.id } }
        let expected =
            turnCount(of: user) == 0 || isPreparing
            ? nil : requests.prefix(limits.requestsPerTurn).firstIndex { !$0.isAsked }
        try #require(queue.prepareNext(of: user) == expected.map { requests[$0].id })
        guard let expected else { return }
        waiting[user]?[expected].isAsked = true
        preparing.append((requests[expected].id, user))
    }

    private mutating func endPreparation() throws {
        guard !preparing.isEmpty else { return }
        let place = Int.random(in: 0..<preparing.count, using: &random)
        let (id, user) = preparing.remove(at: place)
        let load =
            Int.random(in: 0..<5, using: &random) == 0
            ? nil
            : FairQueue.Load(
                items: Int.random(in: 0...15, using: &random),
                bytes: Int.random(in: 0...1500, using: &random))
        queue.prepared(id, of: user, as: load)
        guard let index = waiting[user]?.firstIndex(where: { $0.id == id }) else { return }
        waiting[user]?[index].load = load
    }

    /// The requests of a user's next turn: as many as fit, and none after one that does not.
    private func next(of user: UserID) -> [Int] {
        let requests = waiting[user] ?? []
        guard var sum = requests.first?.load else { return requests.prefix(1).map(\.id) }
        var count = 1
        for request in requests.dropFirst().prefix(limits.requestsPerTurn - 1) {
            guard let load = request.load else { break }
            sum.items += load.items
            sum.bytes += load.bytes
            if sum.items > limits.loadPerTurn.items || sum.bytes > limits.loadPerTurn.bytes {
                break
            }
            count += 1
        }
        return requests.prefix(count).map(\.id)
    }

    private mutating func finish() throws {
        guard !turns.isEmpty else { return }
        let turn = turns.remove(at: Int.random(in: 0..<turns.count, using: &random))
        for begun in queue.finish(turn, work: Double.random(in: 0...1, using: &random)) {
            try #require(begun.requests == next(of: begun.user))
            try #require(!begun.requests.isEmpty)
            waiting[begun.user]?.removeFirst(begun.requests.count)
            turns.append(begun)
        }
    }

    private func check() throws {
        try #require(queue.turns == turns.count)
        try #require(queue.waiting == waitingCount)
        try #require(turns.count <= limits.turns)
        for (user, ids) in waiting {
            try #require(queue.waiting(of: user) == ids.count)
            try #require(turnCount(of: user) <= limits.turnsPerUser)
            // Nobody waits who could begin.
            try #require(
                ids.isEmpty || turns.count == limits.turns
                    || turnCount(of: user) == limits.turnsPerUser)
        }
    }
}
