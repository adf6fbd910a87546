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
                    for socket in scan() { group.addTask { await self.serve(socket) } }
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

    private func scan() -> [SocketFile] {
        do throws(SocketError) {
            let sockets = try directory.sockets()
            return state.withLock { $0.balancer.directory(sockets, now: .now) }
        } catch {
            events(.directoryUnreadable(path: directory.path, reason: error.description))
            return []
        }
    }

    /// One connection to one socket, from the attempt to its end.
    private func serve(_ socket: SocketFile) async {
        var failed = true
        do {
            let link = ReplicaLink(socket: socket, client: self)
            let channel = try await connect(socket, notifying: link)
            await withTaskCancellationHandler {
                try? await channel.closeFuture.get()
            } onCancel: {
                channel.close(promise: nil)
            }
            failed = !link.wasReady
        } catch {
            events(.connectFailed(name: socket.replica, reason: "\(error)"))
        }
        state.withLock { state in
            state.balancer.ended(
                socket, failed: failed, now: .now, jitter: .random(in: 0...1))
        }
        wakeUp.yield()
    }

    private func connect(
        _ socket: SocketFile, notifying link: ReplicaLink
    ) async throws -> any Channel {
        let path = try SocketPath(directory: directory.path, replica: socket.replica).socket
        let (limits, events) = (limits, events)
        return try await ClientBootstrap(group: group)
            .connectTimeout(TimeAmount(limits.connectTimeout))
            .connect(unixDomainSocketPath: path) { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = RPCClientHandler(limits: limits, events: events) {
                        link.observe($0)
                    }
                    link.attach(NIOLoopBound(handler, eventLoop: channel.eventLoop))
                    try channel.pipeline.syncOperations.addHandler(handler)
                    return channel
                }
            }
    }

    fileprivate func joined(_ socket: SocketFile, _ connection: ReplicaConnection) -> Int {
        let (id, resumed) = state.withLock { state in
            let (id, resumptions) = state.balancer.connected(socket, connection)
            let resumed = resumptions.compactMap { resumption in
                state.waiters.removeValue(forKey: resumption.waiter).map { ($0, resumption.lease) }
            }
            return (id, resumed)
        }
        events(.replicaConnected(name: socket.replica))
        for (continuation, lease) in resumed { continuation.resume(returning: .lease(lease)) }
        return id
    }

    fileprivate func goingAway(_ socket: SocketFile, _ id: Int) {
        state.withLock { $0.balancer.goAway(id) }
        events(.replicaDraining(name: socket.replica))
    }

    /// - Parameter reason: nil when the replica had said that it would go.
    fileprivate func lost(_ socket: SocketFile, _ id: Int, reason: String?) {
        state.withLock { $0.balancer.lost(id) }
        if let reason {
            events(.replicaLost(name: socket.replica, reason: reason))
        } else {
            events(.replicaLeft(name: socket.replica))
        }
    }

    private func stop() {
        let waiting = state.withLock { state in
            state.isStopped = true
            let waiting = state.waiters
            for id in waiting.keys { _ = state.balancer.stopWaiting(id) }
            state.waiters = [:]
            return waiting.values
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
    private let client: RPCClient
    private let state = Mutex(State())

    init(socket: SocketFile, client: RPCClient) {
        self.socket = socket
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
        case (.ready, let connection?, _):
            let id = client.joined(socket, connection)
            state.withLock { $0.id = id }
        case (.goingAway, _, let id?):
            state.withLock { $0.isLeaving = true }
            client.goingAway(socket, id)
        case (.lost(let reason), _, let id?):
            client.lost(socket, id, reason: known.isLeaving ? nil : reason)
        case (.ready, nil, _), (.goingAway, _, nil), (.lost, _, nil): break
        }
    }
}
