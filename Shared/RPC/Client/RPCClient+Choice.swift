import NIOCore
import NIOPosix
import Synchronization

/// Where a call goes: at once, after a wait, or nowhere.
private enum Placement {
    case lease(RPCClient.Lease)
    case wait(lane: Int)
    case refused
}

// MARK: - Choosing a replica

extension RPCClient {
    /// A replica for one call; waits for one when there is none.
    ///
    /// - Parameter lost: the lease that the call had when its connection ended. A second attempt
    ///   stays in that lane: other lanes may not have noticed yet that the replica is dead.
    func replica(
        for context: CallContext, after lost: Lease? = nil
    ) async throws(RPCFailure) -> Lease {
        let isRetry = lost != nil
        let placement: Placement = state.withLock { state in
            let lane = lost?.lane ?? state.lane(ofLoop: loopIndex)
            if let lease = state.lease(lane, isRetry: isRetry, now: .now) { return .lease(lease) }
            return state.isStopped ? .refused : .wait(lane: lane)
        }
        let lane: Int
        switch placement {
        case .lease(let lease): return lease
        case .refused: throw .unavailable()
        case .wait(let waiting): lane = waiting
        }
        let limit = ContinuousClock.now + limits.replicaWait
        let waiter = Waiter(lane: lane, isRetry: isRetry)
        switch await waitForReplica(waiter, until: min(limit, context.deadline)) {
        case .lease(let lease): return lease
        case .cancelled: throw .cancelled
        case .timedOut where context.deadline <= limit: throw .deadlineExceeded
        case .timedOut, .refused: throw .unavailable()
        }
    }

    /// The replica goes down: no more calls go there.
    func leave(_ lease: Lease) {
        state.withLock { $0.lanes[lease.lane].balancer.goAway(lease.base.connectionID) }
    }

    func release(_ lease: Lease) {
        state.withLock { $0.lanes[lease.lane].balancer.release(lease.base.connectionID) }
    }

    /// Which of the lanes' event loops this is, if any.
    private var loopIndex: Int? {
        guard let current = MultiThreadedEventLoopGroup.currentEventLoop else { return nil }
        return loops.firstIndex { $0 === current }
    }

    private func waitForReplica(
        _ waiter: Waiter, until limit: ContinuousClock.Instant
    ) async -> WaitOutcome {
        await withTaskCancellationHandler {
            let outcome = await withCheckedContinuation { continuation in
                enqueue(waiter, continuation, until: limit)
            }
            waiter.timeout.withLock { $0?.cancel() }
            return outcome
        } onCancel: {
            waiter.cancelled.set()
            stopWaiting(waiter, with: .cancelled)
        }
    }

    private func enqueue(
        _ waiter: Waiter, _ continuation: CheckedContinuation<WaitOutcome, Never>,
        until limit: ContinuousClock.Instant
    ) {
        let immediate: WaitOutcome? = state.withLock { state in
            if waiter.cancelled.isSet { return .cancelled }
            // One may have come since the first look.
            if let lease = state.lease(waiter.lane, isRetry: waiter.isRetry, now: .now) {
                return .lease(lease)
            }
            guard !state.isStopped, let id = state.lanes[waiter.lane].balancer.wait() else {
                return .refused
            }
            waiter.id.withLock { $0 = id }
            state.lanes[waiter.lane].waiters[id] = continuation
            return nil
        }
        if let immediate { return continuation.resume(returning: immediate) }
        let timeout = group.any().scheduleTask(in: TimeAmount(max(.zero, limit - .now))) {
            self.stopWaiting(waiter, with: .timedOut)
        }
        waiter.timeout.withLock { $0 = timeout }
        wakeUp.yield()
    }

    private func stopWaiting(_ waiter: Waiter, with outcome: WaitOutcome) {
        let continuation: CheckedContinuation<WaitOutcome, Never>? = state.withLock { state in
            // Read under the lock: `enqueue` looks at the flag and sets the id under it.
            guard let id = waiter.id.withLock({ $0 }),
                state.lanes[waiter.lane].balancer.stopWaiting(id)
            else { return nil }
            return state.lanes[waiter.lane].waiters.removeValue(forKey: id)
        }
        continuation?.resume(returning: outcome)
    }
}

/// A call that waits for a replica, as its timeout and its cancellation know it.
private final class Waiter: Sendable {
    let lane: Int
    /// Whether the call was sent before, and its connection ended.
    let isRetry: Bool
    let cancelled = CancelFlag()
    let id = Mutex<Int?>(nil)
    let timeout = Mutex<Scheduled<Void>?>(nil)

    init(lane: Int, isRetry: Bool) {
        self.lane = lane
        self.isRetry = isRetry
    }
}

// MARK: - All lanes

extension RPCClient.State {
    /// The lane for a call: of the event loop that it comes from, else each in turn.
    mutating func lane(ofLoop index: Int?) -> Int {
        if let index { return index }
        turn = (turn + 1) % lanes.count
        return turn
    }

    /// - Parameter isRetry: the call was sent by this lane before, and its connection ended.
    mutating func lease(
        _ lane: Int, isRetry: Bool, now: ContinuousClock.Instant
    ) -> RPCClient.Lease? {
        let lane = isRetry ? lane : bestLane(from: lane, now: now)
        return lanes[lane].balancer.lease(now: now).map { RPCClient.Lease(lane: lane, base: $0) }
    }

    /// This lane, unless another has a better connection. A lease may be used from any thread.
    func bestLane(from lane: Int, now: ContinuousClock.Instant) -> Int {
        var chosen = lane
        var best = lanes[lane].balancer.grade(now: now)
        for offset in 1..<max(lanes.count, 1) where best != .good {
            let other = (lane + offset) % lanes.count
            guard let grade = lanes[other].balancer.grade(now: now) else { continue }
            if best.map({ $0 < grade }) ?? true {
                chosen = other
                best = grade
            }
        }
        return chosen
    }

    /// Calls that wait in other lanes go by the connection that this lane just got.
    mutating func resumeOthers(
        in lane: Int, now: ContinuousClock.Instant
    ) -> [(CheckedContinuation<RPCClient.WaitOutcome, Never>, RPCClient.Lease)] {
        var resumed: [(CheckedContinuation<RPCClient.WaitOutcome, Never>, RPCClient.Lease)] = []
        for other in lanes.indices where other != lane {
            // In the order in which they came.
            for (id, continuation) in lanes[other].waiters.sorted(by: { $0.key < $1.key }) {
                guard let base = lanes[lane].balancer.lease(now: now) else { return resumed }
                _ = lanes[other].balancer.stopWaiting(id)
                lanes[other].waiters[id] = nil
                resumed.append((continuation, RPCClient.Lease(lane: lane, base: base)))
            }
        }
        return resumed
    }

    /// One connection, in any lane, to each replica that answers pings; to every replica if none
    /// does.
    mutating func leaseEach(
        now: ContinuousClock.Instant
    ) -> (leases: [RPCClient.Lease], replicas: Int) {
        let all = lanes.reduce(into: Set<SocketFile>()) { $0.formUnion($1.balancer.callable) }
        var leases: [RPCClient.Lease] = []
        for responsive in [true, false] where leases.isEmpty {
            var missing = all
            for lane in lanes.indices {
                let found = lanes[lane].balancer.leaseEach(
                    of: missing, responsive: responsive, now: now)
                missing.subtract(found.map(\.socket))
                leases += found.map { RPCClient.Lease(lane: lane, base: $0) }
            }
        }
        return (leases, all.count)
    }

    /// How the replicas are that take calls. One that can serve by any lane can serve.
    func statuses(now: ContinuousClock.Instant) -> [SocketFile: ServiceStatus] {
        var statuses: [SocketFile: ServiceStatus] = [:]
        for lane in lanes {
            for (socket, status) in lane.balancer.statuses(now: now)
            where statuses[socket].map({ !$0.canServe }) ?? true {
                statuses[socket] = status
            }
        }
        return statuses
    }
}
