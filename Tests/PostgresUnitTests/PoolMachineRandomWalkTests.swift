import SeededRandom
import Testing

@testable import Postgres

/// Throws random events at the machine and checks its invariants after each.
@Suite struct PoolMachineRandomWalkTests {
    @Test(arguments: 0..<300)
    func invariantsHoldOnARandomWalk(seed: Int) throws {
        var walk = try Walk(seed: UInt64(seed))
        for _ in 0..<400 { try walk.step() }
        try walk.end()
    }
}

/// The machine together with a plain account of what it said.
private struct Walk {
    private var random: SeededGenerator
    private var pool: PoolMachine
    private let maximum: Int
    private let bridge: Duration
    private let down = PostgresError.Kind.connectFailed("refused")
    /// Since when attempts fail; nil after one that succeeded.
    private var failingSince: ContinuousClock.Instant?
    private var now = ContinuousClock.now
    /// Attempts under way, and when they began.
    private var opening: [Int: ContinuousClock.Instant] = [:]
    private var checking: Set<Int> = []
    private var open: Set<Int> = []
    private var borrowed: Set<Int> = []
    /// Held by somebody although the connection is lost.
    private var stale: Set<Int> = []
    private var waiting: [Int] = []
    private var isFinished = false

    init(seed: UInt64) throws {
        random = SeededGenerator(seed: seed)
        maximum = Int.random(in: 1...6, using: &random)
        bridge = .milliseconds(Int.random(in: 0...3000, using: &random))
        pool = PoolMachine(
            try PoolConfiguration(
                minimumConnections: Int.random(in: 0...maximum, using: &random),
                maximumConnections: maximum, maximumLifetime: .seconds(40),
                maximumIdleTime: .seconds(10), maximumWaiters: 5, acquireTimeout: .seconds(8),
                outageBridge: bridge, healthCheckAfterIdle: .seconds(3)))
        if Bool.random(using: &random) { try take(pool.start(now: now)) }
    }

    mutating func step() throws {
        now += .milliseconds(Int.random(in: 0...2000, using: &random))
        let jitter = Double.random(in: 0...1, using: &random)
        switch Int.random(in: 0..<13, using: &random) {
        case 0...3: try acquire()
        case 4:
            if let id = pick(Set(opening.keys)) {
                failingSince = nil
                try take(pool.opened(id, now: now, jitter: jitter), opened: id)
            }
        case 5:
            if let id = pick(Set(opening.keys)) {
                failingSince = failingSince ?? now
                try take(pool.openFailed(id, because: down, now: now, jitter: jitter))
            }
        case 6, 7:
            if let id = pick(borrowed) {
                borrowed.remove(id)
                let isReusable = Int.random(in: 0..<5, using: &random) > 0
                try take(pool.release(id, isReusable: isReusable, now: now))
            }
        case 8:
            if let id = pick(checking) {
                checking.remove(id)
                try take(pool.checked(id, isHealthy: Bool.random(using: &random), now: now))
            }
        case 9:
            if let id = pick(open) {
                if borrowed.remove(id) != nil { stale.insert(id) }
                checking.remove(id)
                try take(pool.lost(id, now: now))
                #expect(!open.contains(id))
            }
        case 10:
            if let waiter = pick(Set(waiting)) { try take(pool.abandon(waiter)) }
            if let id = pick(stale) { try take(pool.release(id, isReusable: true, now: now)) }
        case 11: try take(pool.retry(now: now))
        default: try take(pool.tick(now: now))
        }
        try check()
    }

    /// Drains, gives everything back, and expects that nothing is left.
    mutating func end() throws {
        try take(pool.drain(force: false, now: now))
        #expect(waiting.isEmpty)
        for id in borrowed {
            borrowed.remove(id)
            try take(pool.release(id, isReusable: true, now: now))
        }
        #expect(isFinished)
        #expect(open.isEmpty && opening.isEmpty)
        #expect(pool.statistics == PoolStatistics(maximum: maximum))
    }

    private mutating func acquire() throws {
        let (waiter, actions) = pool.acquire(deadline: nil, now: now)
        waiting.append(waiter)
        try take(actions)
    }

    private mutating func take(_ actions: [PoolMachine.Action], opened: Int? = nil) throws {
        if let opened {
            opening[opened] = nil
            open.insert(opened)
        }
        for action in actions { try take(action) }
    }

    private mutating func take(_ action: PoolMachine.Action) throws {
        switch action {
        case .open(let id):
            try #require(opening.updateValue(now, forKey: id) == nil)
        case .close(let id):
            try #require(
                opening.removeValue(forKey: id) != nil || open.remove(id) != nil, "closed twice")
            #expect(!borrowed.contains(id) || isFinished)
            checking.remove(id)
        case .check(let id):
            try #require(open.contains(id) && !borrowed.contains(id))
            try #require(checking.insert(id).inserted)
        case .hand(let id, let waiter):
            try #require(open.contains(id) && !checking.contains(id))
            try #require(borrowed.insert(id).inserted, "handed out twice")
            try #require(waiting.first == waiter, "overtaken")
            waiting.removeFirst()
        case .refuse(let waiter, let reason):
            // Nobody hears of an outage while a connection is there or may be there soon.
            if reason == down { #expect(open.isEmpty && !isHopeful) }
            let place = try #require(waiting.firstIndex(of: waiter), "answered twice")
            waiting.remove(at: place)
        case .finished: isFinished = true
        }
    }

    private var isHopeful: Bool {
        opening.values.contains { now - $0 < PoolMachine.attemptPatience }
    }

    private func check() throws {
        #expect(open.count + opening.count <= maximum)
        let statistics = pool.statistics
        #expect(statistics.waiting == waiting.count)
        #expect(statistics.inUse == borrowed.count)
        #expect(statistics.connecting == opening.count)
        #expect(statistics.idle == open.count - borrowed.count)
        let free = open.count - borrowed.count - checking.count
        // Somebody waits despite a free connection only if a check is made for them.
        #expect(free == 0 || waiting.count <= checking.count)
        #expect(waiting.isEmpty || pool.nextTick != nil, "nothing would end the wait")
        // After the bridge nobody waits for nothing, from the next event on, which is due.
        if let failingSince, now - failingSince >= bridge, open.isEmpty, !isHopeful {
            #expect(waiting.isEmpty || pool.nextTick.map { $0 <= now } == true)
        }
        #expect((pool.failure != nil) == (failingSince != nil && open.isEmpty))
    }

    private mutating func pick(_ set: Set<Int>) -> Int? {
        set.sorted().randomElement(using: &random)
    }
}
