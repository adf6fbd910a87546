import Glibc
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle

/// Answers calls on a Unix socket in the directory of its service.
///
/// The socket appears only when it is ready, is open to owner and group (0660), and disappears at
/// once on graceful shutdown. Then clients are asked to go elsewhere, calls in flight are finished,
/// and `run()` returns.
package final class RPCServer: Service {
    /// Two servers of one name may overlap for a moment when a process is replaced.
    private static let lockAttempts = 25
    private static let lockRetryInterval: Duration = .milliseconds(20)
    private static let backlog: Int32 = 256

    private let directory: String
    private let replica: String
    private let shared: RPCServerShared
    private let group: any EventLoopGroup

    /// - Parameters:
    ///   - directory: the directory of the service, such as `$OVERSYNC_RUN/upload`. Made if absent.
    ///   - replica: unique among the replicas of the service: a host or container name.
    ///   - observer: receives every event and call, for metrics.
    package init(
        directory: String, replica: String, router: RPCRouter, limits: RPCLimits = RPCLimits(),
        logger: Logger, observer: (any RPCObserver)? = nil,
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) {
        self.directory = directory
        self.replica = replica
        self.group = group
        shared = RPCServerShared(
            router: router, limits: limits,
            events: RPCEventSink(logger: logger, observer: observer))
    }

    /// Calls that are being handled, also those nobody waits for any more.
    package var callsInFlight: Int { shared.callsInFlight.value }

    /// Serves until graceful shutdown or cancellation.
    ///
    /// - Throws: `SocketError` when the socket cannot be had, `IOError` when it cannot be bound.
    package func run() async throws {
        let path = try SocketPath(directory: directory, replica: replica)
        let parent = SocketDirectory(path: directory)
        try parent.create()
        let lock = try await acquireLock(path)
        for socket in try parent.removeAbandoned(keeping: replica) {
            shared.events(.abandonedSocketRemoved(path: socket))
        }
        lock.removeSockets()
        defer { lock.removeSockets() }
        let listener = try await listen(path)
        try await withTaskCancellationOrGracefulShutdownHandler {
            try await serve(listener)
        } onCancelOrGracefulShutdown: { [shared] in
            // First out of sight, then out of reach: a client that connects in between is asked
            // to go away like the others.
            unlink(path.socket)
            shared.events(.draining(callsInFlight: shared.callsInFlight.value))
            listener.channel.close(promise: nil)
        }
    }

    private func acquireLock(_ path: SocketPath) async throws -> SocketLock {
        for _ in 1..<Self.lockAttempts {
            do throws(SocketError) {
                return try SocketLock(path: path)
            } catch .ownedByAnother {
                // A process that is replaced lets go when it ends; the kernel tells nobody.
                try await Task.sleep(for: Self.lockRetryInterval)
            }
        }
        return try SocketLock(path: path)
    }

    private func listen(
        _ path: SocketPath
    ) async throws -> NIOAsyncChannel<ServerConnection, Never> {
        let shared = shared
        let listener = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: Self.backlog)
            .childChannelOption(
                .writeBufferWaterMark,
                value: .init(
                    low: shared.limits.outboundHighWatermark / 4,
                    high: shared.limits.outboundHighWatermark)
            )
            .bind(unixDomainSocketPath: path.unpublishedSocket) { channel in
                channel.checkPeer(shared.limits, events: shared.events).flatMapThrowing {
                    try ServerConnection(channel: channel, shared: shared)
                }.flatMapErrorThrowing { error in
                    // Nobody else does: the channel has not come to be, and its socket would stay open.
                    channel.close(promise: nil)
                    throw error
                }
            }
        guard
            chmod(path.unpublishedSocket, 0o660) == 0,
            rename(path.unpublishedSocket, path.socket) == 0
        else {
            let code = errno
            try? await listener.channel.close().get()
            throw SocketError.system(operation: "publish socket", path: path.socket, errno: code)
        }
        shared.events(.listening(path: path.socket))
        return listener
    }

    private func serve(_ listener: NIOAsyncChannel<ServerConnection, Never>) async throws {
        await withDiscardingTaskGroup { group in
            // Ends when the listener is closed; an error would be one of accept(), which NIO
            // has already sorted into those that end the listener and those that do not.
            try? await listener.executeThenClose { connections in
                for try await connection in connections {
                    group.addTask { await connection.run() }
                }
            }
        }
    }
}
