import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization

extension RPCClient {
    /// Connects to replicas as they appear, until graceful shutdown or cancellation. Then calls
    /// that are still in flight or waiting fail as `unavailable`.
    package func run() async throws {
        await withTaskCancellationOrGracefulShutdownHandler {
            await withDiscardingTaskGroup { group in
                group.addTask { await self.keepTime() }
                for await _ in wakeUps {
                    for (socket, lane) in scan() {
                        group.addTask { await self.serve(socket, lane) }
                    }
                }
                stop()
                group.cancelAll()
            }
        } onCancelOrGracefulShutdown: {
            self.wakeUp.finish()
        }
    }

    private func keepTime() async {
        wakeUp.yield()
        // Replicas come and go as files in the directory, in other containers too.
        while (try? await Task.sleep(for: limits.scanInterval)) != nil { wakeUp.yield() }
    }

    /// What to connect to now, and from which lane.
    private func scan() -> [(SocketFile, lane: Int)] {
        do throws(SocketError) {
            let sockets = try directory.sockets()
            return state.withLock { state in
                state.unreadable = nil
                let listed = Set(sockets)
                state.incompatible = state.incompatible.filter { listed.contains($0.key) }
                return state.lanes.indices.flatMap { lane in
                    state.lanes[lane].balancer.directory(sockets, now: .now).map { ($0, lane) }
                }
            }
        } catch {
            // Tried five times a second, told once.
            let isNews = state.withLock { state in
                defer { state.unreadable = error }
                return state.unreadable != error
            }
            if isNews {
                events(.directoryUnreadable(path: directory.path, reason: error.description))
            }
            return []
        }
    }

    /// One connection to one socket, from the attempt to its end.
    private func serve(_ socket: SocketFile, _ lane: Int) async {
        var failed = true
        do {
            let link = ReplicaLink(socket: socket, lane: lane, client: self)
            let channel = try await connect(socket, lane, notifying: link)
            await withTaskCancellationHandler {
                try? await channel.closeFuture.get()
            } onCancel: {
                channel.close(promise: nil)
            }
            failed = !link.wasReady
        } catch {
            tell(.connectFailed(name: socket.replica, reason: "\(error)"), lane)
        }
        state.withLock { state in
            state.lanes[lane].balancer.ended(
                socket, failed: failed, now: .now, jitter: .random(in: 0...1))
        }
        wakeUp.yield()
    }

    private func connect(
        _ socket: SocketFile, _ lane: Int, notifying link: ReplicaLink
    ) async throws -> any Channel {
        let path = try SocketPath(directory: directory.path, replica: socket.replica).socket
        let (limits, hello, events) = (limits, hello, events)
        return try await ClientBootstrap(group: loops[lane])
            .connectTimeout(TimeAmount(limits.connectTimeout))
            .channelOption(
                .writeBufferWaterMark,
                value: .init(
                    low: limits.outboundHighWatermark / 4, high: limits.outboundHighWatermark)
            )
            .connect(unixDomainSocketPath: path) { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = RPCClientHandler(limits: limits, hello: hello, events: events) {
                        link.observe($0)
                    }
                    link.attach(NIOLoopBound(handler, eventLoop: channel.eventLoop))
                    try channel.pipeline.syncOperations.addHandler(handler)
                    return channel
                }
            }
    }

    fileprivate func joined(
        _ socket: SocketFile, _ lane: Int, _ connection: ReplicaConnection, _ server: RPCHello,
        _ status: ServiceStatus, _ asked: ContinuousClock.Instant
    ) -> Int {
        let now = ContinuousClock.now
        let (id, resumed) = state.withLock { state in
            state.servers[socket.replica] = server
            let (id, resumptions) = state.lanes[lane].balancer.connected(
                socket, connection, status: status, asked: asked, now: now)
            var resumed = resumptions.compactMap { resumption in
                state.lanes[lane].waiters.removeValue(forKey: resumption.waiter).map {
                    ($0, Lease(lane: lane, base: resumption.lease))
                }
            }
            resumed += state.resumeOthers(in: lane, now: now)
            return (id, resumed)
        }
        tell(.replicaConnected(name: socket.replica), lane)
        for (continuation, lease) in resumed { continuation.resume(returning: .lease(lease)) }
        return id
    }

    fileprivate func statusChanged(
        _ socket: SocketFile, _ lane: Int, _ id: Int, _ status: ServiceStatus
    ) {
        state.withLock { $0.lanes[lane].balancer.statusChanged(id, status) }
        tell(.replicaStatus(name: socket.replica, status), lane)
    }

    fileprivate func confirmed(_ lane: Int, _ id: Int, _ asked: ContinuousClock.Instant) {
        state.withLock { $0.lanes[lane].balancer.confirmed(id, asked: asked) }
    }

    fileprivate func writabilityChanged(_ lane: Int, _ id: Int, _ isWritable: Bool) {
        state.withLock { $0.lanes[lane].balancer.writabilityChanged(id, isWritable) }
    }

    /// Reported once for each socket: a restarted replica has another one.
    fileprivate func refused(_ socket: SocketFile, _ theirs: RPCHello) {
        let isNews = state.withLock { $0.incompatible.updateValue(theirs, forKey: socket) == nil }
        if isNews {
            events(.replicaIncompatible(name: socket.replica, ours: hello, theirs: theirs))
        }
    }

    fileprivate func goingAway(_ socket: SocketFile, _ lane: Int, _ id: Int) {
        state.withLock { $0.lanes[lane].balancer.goAway(id) }
        tell(.replicaDraining(name: socket.replica), lane)
    }

    /// - Parameter reason: nil when the replica had said that it would go.
    fileprivate func lost(_ socket: SocketFile, _ lane: Int, _ id: Int, reason: String?) {
        state.withLock { state in
            state.lanes[lane].balancer.lost(id)
            if lane == 0 { state.servers[socket.replica] = nil }
        }
        if let reason {
            tell(.replicaLost(name: socket.replica, reason: reason), lane)
        } else {
            tell(.replicaLeft(name: socket.replica), lane)
        }
    }

    /// What happens to a replica happens in every lane, and is reported once.
    private func tell(_ event: RPCEvent, _ lane: Int) {
        if lane == 0 { events(event) }
    }

    private func stop() {
        let waiting = state.withLock { state in
            state.isStopped = true
            return state.lanes.indices.flatMap { lane in
                let waiting = state.lanes[lane].waiters
                for id in waiting.keys { _ = state.lanes[lane].balancer.stopWaiting(id) }
                state.lanes[lane].waiters = [:]
                return Array(waiting.values)
            }
        }
        for continuation in waiting { continuation.resume(returning: .refused) }
    }
}

/// Carries what one connection has to say to its client.
private final class ReplicaLink: Sendable {
    private struct State {
        var connection: ReplicaConnection?
        var id: Int?
        var isLeaving = false
    }

    private let socket: SocketFile
    private let lane: Int
    private let client: RPCClient
    private let state = Mutex(State())

    init(socket: SocketFile, lane: Int, client: RPCClient) {
        self.socket = socket
        self.lane = lane
        self.client = client
    }

    var wasReady: Bool { state.withLock { $0.id != nil } }

    func attach(_ handler: NIOLoopBound<RPCClientHandler>) {
        state.withLock { $0.connection = ReplicaConnection(handler: handler) }
    }

    /// Called on the connection's event loop, one event at a time.
    func observe(_ event: ConnectionEvent) {
        let known = state.withLock { $0 }
        switch (event, known.connection, known.id) {
        case (.ready(let server, let status, let asked), let connection?, _):
            let id = client.joined(socket, lane, connection, server, status, asked)
            state.withLock { $0.id = id }
        case (.status(let status), _, let id?):
            client.statusChanged(socket, lane, id, status)
        case (.confirmed(let asked), _, let id?):
            client.confirmed(lane, id, asked)
        case (.writable(let isWritable), _, let id?):
            client.writabilityChanged(lane, id, isWritable)
        case (.incompatible(let theirs), _, _):
            client.refused(socket, theirs)
        case (.goingAway, _, let id?):
            state.withLock { $0.isLeaving = true }
            client.goingAway(socket, lane, id)
        case (.lost(let reason), _, let id?):
            client.lost(socket, lane, id, reason: known.isLeaving ? nil : reason)
        case (.ready, nil, _), (.status, _, nil), (.confirmed, _, nil), (.writable, _, nil),
            (.goingAway, _, nil), (.lost, _, nil):
            break
        }
    }
}
