import Testing

@testable import RPC

/// The choice of replicas, without sockets.
struct BalancerTests {
    typealias Instant = ContinuousClock.Instant
    let start = ContinuousClock.now

    private let statuses = [
        ServiceStatus.ready, ServiceStatus(.degraded, problems: ["x"]), .notReady("x"),
    ]

    private func socket(_ name: String, inode: UInt64 = 1) -> SocketFile {
        SocketFile(replica: name, inode: inode, changedNanoseconds: 0)
    }

    @Test func `a socket is connected to once, and again only after a backoff`() {
        var balancer = Balancer<Int>(limits: RPCLimits())
        let one = socket("one")
        #expect(balancer.directory([one], now: start) == [one])
        #expect(balancer.directory([one], now: start) == [])
        balancer.ended(one, failed: true, now: start, jitter: 1)
        #expect(balancer.directory([one], now: start + .milliseconds(99)) == [])
        #expect(balancer.directory([one], now: start + .milliseconds(100)) == [one])
    }

    @Test func `the backoff grows to its maximum, and a success resets it`() {
        var balancer = Balancer<Int>(limits: RPCLimits())
        let one = socket("one")
        for _ in 0..<40 {
            _ = balancer.directory([one], now: start + .seconds(100))
            balancer.ended(one, failed: true, now: start + .seconds(100), jitter: 1)
        }
        #expect(balancer.directory([one], now: start + .seconds(101.9)) == [])
        #expect(balancer.directory([one], now: start + .seconds(102)) == [one])
        _ = balancer.connected(one, 1)
        balancer.ended(one, failed: false, now: start + .seconds(200), jitter: 1)
        #expect(balancer.directory([one], now: start + .seconds(200.05)) == [one])
    }

    @Test func `a replica that starts again under its name is tried at once`() {
        var balancer = Balancer<Int>(limits: RPCLimits())
        let old = socket("one", inode: 1)
        _ = balancer.directory([old], now: start)
        balancer.ended(old, failed: true, now: start, jitter: 1)
        let new = socket("one", inode: 2)
        #expect(balancer.directory([new], now: start) == [new])
        #expect(balancer.knownSockets == [new])
    }

    @Test func `a replica whose socket is gone serves on until its connection ends`() {
        var balancer = Balancer<Int>(limits: RPCLimits())
        let one = socket("one")
        _ = balancer.directory([one], now: start)
        let (id, _) = balancer.connected(one, 7)
        #expect(balancer.directory([], now: start) == [])
        #expect(balancer.lease()?.connection == 7)
        balancer.lost(id)
        balancer.ended(one, failed: false, now: start, jitter: 0)
        #expect(balancer.knownSockets == [])
        #expect(balancer.lease()?.connection == nil)
    }

    @Test func `a draining replica gets no more calls`() {
        var balancer = Balancer<Int>(limits: RPCLimits())
        let (one, _) = balancer.connected(socket("one"), 1)
        _ = balancer.connected(socket("two"), 2)
        balancer.goAway(one)
        for _ in 0..<10 { #expect(balancer.lease()?.connection == 2) }
    }

    @Test func `waiters are resumed in their order, and no more than may wait`() {
        var limits = RPCLimits()
        limits.maximumWaitingCalls = 2
        var balancer = Balancer<Int>(limits: limits)
        let first = balancer.wait()
        let second = balancer.wait()
        #expect(first != nil)
        #expect(second != nil)
        #expect(balancer.wait() == nil)
        let resumed = balancer.connected(socket("one"), 1).resumed
        #expect(resumed.map(\.waiter) == [first, second])
        #expect(balancer.waitingCalls == 0)
        #expect(first.map { balancer.stopWaiting($0) } == false)
    }

    @Test func `a replica that is not ready gets calls only while no other is`() {
        var balancer = Balancer<Int>(limits: RPCLimits())
        let (one, _) = balancer.connected(socket("one"), 1, status: .notReady("starting"))
        #expect(!balancer.isReady)
        #expect(balancer.hasReplica)
        #expect(balancer.lease()?.connection == 1)
        let (two, _) = balancer.connected(
            socket("two"), 2, status: ServiceStatus(.degraded, problems: ["a table"]))
        #expect(balancer.isReady)
        for _ in 0..<10 { #expect(balancer.lease()?.connection == 2) }
        balancer.statusChanged(one, .ready)
        balancer.statusChanged(two, .notReady("down"))
        for _ in 0..<20 { #expect(balancer.lease()?.connection == 1) }
        balancer.goAway(one)
        #expect(!balancer.isReady)
        #expect(balancer.lease()?.connection == 2)
    }

    /// Invariants: a call goes to a live replica that takes calls, to one that can serve if there is one, and of
    /// those to the one with the fewest in flight; no lease is lost or counted twice; nobody waits while there is
    /// a replica.
    @Test(arguments: 0..<50 as Range<UInt64>)
    func `random walks keep the books`(seed: UInt64) {
        var random = Seeded(seed)
        var balancer = Balancer<Int>(limits: RPCLimits())
        var model: [Int: (taking: Bool, serving: Bool, calls: Int)] = [:]
        var eligible: [(taking: Bool, serving: Bool, calls: Int)] {
            let taking = model.values.filter(\.taking)
            let serving = taking.filter(\.serving)
            return serving.isEmpty ? taking : serving
        }
        var open: [Int] = []
        var waiting: Set<Int> = []
        for step in 0..<2000 {
            switch Int.random(in: 0..<11, using: &random) {
            case 0 where model.count < 5:
                let status = statuses.randomElement(using: &random) ?? .ready
                let (id, resumed) = balancer.connected(socket("\(step)"), step, status: status)
                model[id] = (true, status.canServe, 0)
                for resumption in resumed {
                    #expect(waiting.remove(resumption.waiter) != nil)
                    model[resumption.lease.connectionID]?.calls += 1
                    open.append(resumption.lease.connectionID)
                }
            case 1:
                guard let id = model.keys.sorted().randomElement(using: &random) else { continue }
                balancer.goAway(id)
                model[id]?.taking = false
            case 2:
                guard let id = model.keys.sorted().randomElement(using: &random) else { continue }
                balancer.lost(id)
                model[id] = nil
            case 3...6:
                if let lease = balancer.lease() {
                    let chosen = model[lease.connectionID]
                    #expect(chosen?.taking == true)
                    #expect(chosen?.serving == eligible[0].serving)
                    #expect(chosen?.calls == eligible.map(\.calls).min())
                    model[lease.connectionID]?.calls += 1
                    open.append(lease.connectionID)
                } else {
                    #expect(!model.values.contains { $0.taking })
                    if let waiter = balancer.wait() { waiting.insert(waiter) }
                }
            case 7:
                guard let waiter = waiting.sorted().randomElement(using: &random) else { continue }
                let outcome124 = balancer.stopWaiting(waiter)
                #expect(outcome124)
                waiting.remove(waiter)
            case 8:
                guard let id = model.keys.sorted().randomElement(using: &random),
                    let status = statuses.randomElement(using: &random)
                else { continue }
                balancer.statusChanged(id, status)
                model[id]?.serving = status.canServe
            default:
                guard let index = open.indices.randomElement(using: &random) else { continue }
                let id = open.remove(at: index)
                balancer.release(id)
                model[id]?.calls -= 1
            }
            #expect(balancer.hasReplica == model.values.contains { $0.taking })
            #expect(balancer.isReady == model.values.contains { $0.taking && $0.serving })
            #expect(balancer.callsInFlight == model.values.reduce(0) { $0 + $1.calls })
            #expect(balancer.waitingCalls == waiting.count)
            if balancer.hasReplica { #expect(waiting.isEmpty) }
        }
    }
}

/// A generator that gives the same numbers for the same seed.
struct Seeded: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
