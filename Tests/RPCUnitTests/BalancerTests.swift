import SeededRandom
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
        _ = balancer.connected(one, 1, at: start)
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
        let (id, _) = balancer.connected(one, 7, at: start)
        #expect(balancer.directory([], now: start) == [])
        #expect(balancer.lease(now: start)?.connection == 7)
        balancer.lost(id)
        balancer.ended(one, failed: false, now: start, jitter: 0)
        #expect(balancer.knownSockets == [])
        #expect(balancer.lease(now: start)?.connection == nil)
    }

    @Test func `a draining replica gets no more calls`() {
        var balancer = Balancer<Int>(limits: RPCLimits())
        let (one, _) = balancer.connected(socket("one"), 1, at: start)
        _ = balancer.connected(socket("two"), 2, at: start)
        balancer.goAway(one)
        for _ in 0..<10 { #expect(balancer.lease(now: start)?.connection == 2) }
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
        let resumed = balancer.connected(socket("one"), 1, at: start).resumed
        #expect(resumed.map(\.waiter) == [first, second])
        #expect(balancer.waitingCalls == 0)
        #expect(first.map { balancer.stopWaiting($0) } == false)
    }

    @Test func `a replica that is not ready gets calls only while no other is`() {
        var balancer = Balancer<Int>(limits: RPCLimits())
        let (one, _) = balancer.connected(
            socket("one"), 1, status: .notReady("starting"), at: start)
        #expect(!balancer.isReady(now: start))
        #expect(balancer.hasReplica)
        #expect(balancer.lease(now: start)?.connection == 1)
        let (two, _) = balancer.connected(
            socket("two"), 2, status: ServiceStatus(.degraded, problems: ["a table"]), at: start)
        #expect(balancer.isReady(now: start))
        for _ in 0..<10 { #expect(balancer.lease(now: start)?.connection == 2) }
        balancer.statusChanged(one, .ready)
        balancer.statusChanged(two, .notReady("down"))
        for _ in 0..<20 { #expect(balancer.lease(now: start)?.connection == 1) }
        balancer.goAway(one)
        #expect(!balancer.isReady(now: start))
        #expect(balancer.lease(now: start)?.connection == 2)
    }

    @Test func `a replica that does not answer pings gets calls only while no other is there`() {
        var balancer = Balancer<Int>(limits: RPCLimits())
        _ = balancer.connected(socket("one"), 1, at: start)
        let (two, _) = balancer.connected(socket("two"), 2, at: start)
        balancer.confirmed(two, asked: start + .milliseconds(600))
        let now = start + .milliseconds(700)
        for _ in 0..<10 { #expect(balancer.lease(now: now)?.connection == 2) }
        let all = balancer.callable
        let responsive = balancer.leaseEach(of: all, responsive: true, now: now)
        #expect(responsive.map(\.connection) == [2])
        let every = balancer.leaseEach(of: all, responsive: false, now: now)
        #expect(every.map(\.connection) == [1, 2])
        balancer.goAway(two)
        #expect(balancer.lease(now: now)?.connection == 1)
        #expect(balancer.isReady(now: now))
    }

    @Test func `a replica whose socket is full gets calls only while no other is there`() {
        var balancer = Balancer<Int>(limits: RPCLimits())
        let (one, _) = balancer.connected(socket("one"), 1, at: start)
        let (two, _) = balancer.connected(socket("two"), 2, at: start)
        balancer.writabilityChanged(one, false)
        for _ in 0..<10 { #expect(balancer.lease(now: start)?.connection == 2) }
        let all = balancer.callable
        let responsive = balancer.leaseEach(of: all, responsive: true, now: start)
        #expect(responsive.map(\.connection) == [2])
        balancer.lost(two)
        #expect(balancer.lease(now: start)?.connection == 1)
        balancer.writabilityChanged(one, true)
        #expect(balancer.grade(now: start) == .good)
    }

    @Test func `a status is believed for one second`() {
        var balancer = Balancer<Int>(limits: RPCLimits())
        let (one, _) = balancer.connected(socket("one"), 1, at: start)
        #expect(balancer.isReady(now: start + .milliseconds(1000)))
        let late = start + .milliseconds(1001)
        #expect(!balancer.isReady(now: late))
        #expect(balancer.statuses(now: late).map { $0.status.canServe } == [false])
        // Some replica gets the call, as long as there is one.
        #expect(balancer.lease(now: late)?.connection == 1)
        _ = balancer.connected(socket("two"), 2, at: late)
        for _ in 0..<10 { #expect(balancer.lease(now: late)?.connection == 2) }
        balancer.confirmed(one, asked: late)
        #expect(balancer.statuses(now: late).map { $0.status } == [.ready, .ready])
    }
}

/// What a test knows of one connection.
private struct ModelLink {
    var isTaking = true
    var isServing: Bool
    var isWritable = true
    var asked: ContinuousClock.Instant
    var calls = 0

    func grade(_ now: ContinuousClock.Instant) -> LinkGrade {
        guard isServing, now - asked <= .seconds(1) else { return .notReady }
        return isWritable && now - asked < .milliseconds(600) ? .good : .slow
    }
}

extension BalancerTests {
    /// Invariants: a call goes to a live replica that takes calls, to one of the best grade, and of
    /// those to the one with the fewest in flight; no lease is lost or counted twice; nobody waits
    /// while there is a replica.
    @Test(arguments: 0..<50 as Range<UInt64>)
    func `random walks keep the books`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var balancer = Balancer<Int>(limits: RPCLimits())
        var model: [Int: ModelLink] = [:]
        var (open, waiting, now) = ([Int](), Set<Int>(), start)
        for step in 0..<2000 {
            now += .milliseconds(Int.random(in: 0...20, using: &random))
            let taking = model.values.filter(\.isTaking)
            let best = taking.map { $0.grade(now) }.max()
            let peers = taking.filter { $0.grade(now) == best }
            let some = model.keys.sorted().randomElement(using: &random)
            let status = statuses.randomElement(using: &random) ?? .ready
            switch (Int.random(in: 0..<13, using: &random), some) {
            case (0, _) where model.count < 5:
                let new = socket("\(step)")
                let (id, resumed) = balancer.connected(new, step, status: status, at: now)
                model[id] = ModelLink(isServing: status.canServe, asked: now)
                for resumption in resumed {
                    #expect(waiting.remove(resumption.waiter) != nil)
                    model[resumption.lease.connectionID]?.calls += 1
                    open.append(resumption.lease.connectionID)
                }
            case (1, let id?):
                balancer.goAway(id)
                model[id]?.isTaking = false
            case (2, let id?):
                balancer.lost(id)
                model[id] = nil
            case (3...6, _):
                if let lease = balancer.lease(now: now) {
                    let chosen = model[lease.connectionID]
                    #expect(chosen?.isTaking == true)
                    #expect(chosen?.grade(now) == best)
                    #expect(chosen?.calls == peers.map(\.calls).min())
                    model[lease.connectionID]?.calls += 1
                    open.append(lease.connectionID)
                } else {
                    #expect(taking.isEmpty)
                    if let waiter = balancer.wait() { waiting.insert(waiter) }
                }
            case (7, _):
                guard let waiter = waiting.sorted().randomElement(using: &random) else { continue }
                let hadWaited = balancer.stopWaiting(waiter)
                #expect(hadWaited)
                waiting.remove(waiter)
            case (8, let id?):
                balancer.statusChanged(id, status)
                model[id]?.isServing = status.canServe
            case (9, let id?):
                balancer.confirmed(id, asked: now)
                model[id]?.asked = now
            case (10, let id?):
                balancer.writabilityChanged(id, status.canServe)
                model[id]?.isWritable = status.canServe
            default:
                guard let index = open.indices.randomElement(using: &random) else { continue }
                let id = open.remove(at: index)
                balancer.release(id)
                model[id]?.calls -= 1
            }
            expect(balancer, model, waiting, now)
        }
    }

    private func expect(
        _ balancer: Balancer<Int>, _ model: [Int: ModelLink], _ waiting: Set<Int>, _ now: Instant
    ) {
        let taking = model.values.filter(\.isTaking)
        #expect(balancer.hasReplica == !taking.isEmpty)
        #expect(balancer.grade(now: now) == taking.map { $0.grade(now) }.max())
        #expect(balancer.isReady(now: now) == taking.contains { $0.grade(now) > .notReady })
        #expect(balancer.callsInFlight == model.values.reduce(0) { $0 + $1.calls })
        #expect(balancer.waitingCalls == waiting.count)
        if balancer.hasReplica { #expect(waiting.isEmpty) }
    }
}

extension Balancer {
    /// Connects a replica that has answered at once.
    fileprivate mutating func connected(
        _ socket: SocketFile, _ connection: Connection, status: ServiceStatus = .ready,
        at now: Instant
    ) -> (id: Int, resumed: [Resumption]) {
        connected(socket, connection, status: status, asked: now, now: now)
    }
}
