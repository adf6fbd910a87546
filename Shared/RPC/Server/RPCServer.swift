import Glibc
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle

/// Answers calls on a Unix socket in the directory of its service.
///
/// The socket appears only when it is ready, is open to owner and group (0660), and disappears at
/// once on graceful shutdown. Then clients are asked to go elsewhere, calls in flight are finished,
/// and `run()` returns. Calls that crossed the request are served; later ones fail as `draining`,
/// which clients repeat elsewhere.
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
    ///   - hello: what clients learn of this program.
    ///   - status: what they receive until the first ``publish(_:)``.
    ///   - currentStatus: how this replica is at the moment; asked at each ping of a client, on an
    ///     event loop. A process whose tasks are stuck publishes nothing, and is found out by this.
    ///     Without it clients get the last published status.
    ///   - observer: receives every event and call, for metrics.
    ///   - onDrain: called once, when the server begins to shut down and before any client hears of
    ///     it. Ends what calls wait for.
    package init(
        directory: String, replica: String, router: RPCRouter, limits: RPCLimits = RPCLimits(),
        hello: RPCHello = RPCHello(), status: ServiceStatus = .ready,
        currentStatus: (@Sendable () -> ServiceStatus)? = nil,
        logger: Logger, observer: (any RPCObserver)? = nil,
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        onDrain: @escaping @Sendable () -> Void = {}
    ) {
        self.directory = directory
        self.replica = replica
        self.group = group
        shared = RPCServerShared(
            router: router, limits: limits,
            events: RPCEventSink(logger: logger, observer: observer), hello: hello,
            status: status, currentStatus: currentStatus, onDrain: onDrain)
    }

    /// Tells every client how this replica is, now and when it connects.
    package func publish(_ status: ServiceStatus) { shared.publish(status) }

    /// Calls that are being handled, also those nobody waits for any more.
    package var callsInFlight: Int { shared.callsInFlight.value }

    /// Serves until graceful shutdown or cancellation.
    ///
    /// - Throws: `SocketError` when the socket cannot be had.
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
            shared.beginDrain()
            listener.channel.close(promise: nil)
        }
    }

    /// What keeps a replica of this name from serving in this directory, as far as that shows without
    /// making anything. Whether another replica owns the name does not.
    package static func problem(directory: String, replica: String) -> SocketError? {
        do throws(SocketError) {
            _ = try SocketPath(directory: directory, replica: replica)
            return SocketDirectory(path: directory).problem(mode: R_OK | W_OK | X_OK)
        } catch {
            return error
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
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: Self.backlog)
            .childChannelOption(
                .writeBufferWaterMark,
                value: .init(
                    low: shared.limits.outboundHighWatermark / 4,
                    high: shared.limits.outboundHighWatermark)
            )
        let listener: NIOAsyncChannel<ServerConnection, Never>
        do {
            listener = try await bootstrap.bind(
                unixDomainSocketPath: path.unpublishedSocket
            ) { channel in
                channel.checkPeer(shared.limits, events: shared.events).flatMapThrowing {
                    try ServerConnection(channel: channel, shared: shared, peer: $0)
                }.flatMapErrorThrowing { error in
                    // Nobody else does: the channel has not come to be, and its socket would stay open.
                    channel.close(promise: nil)
                    throw error
                }
            }
        } catch let error as IOError {
            throw SocketError.system(
                operation: "bind", path: path.unpublishedSocket, errno: error.errnoCode)
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
