import Foundation
import LogFields
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle

/// Accepts the gateway's connections. On graceful shutdown it drains, with its port open.
///
/// Hummingbird's own server would close the port first: for as long as one answer takes, nobody else would hear more
/// than a refused connection.
struct GatewayListener: Service {
    private static let backlog: Int32 = 256
    /// Pause before the next connection is accepted when the system had nothing left for the last.
    private static let acceptPause: TimeAmount = .milliseconds(10)

    let host: String
    let port: Int
    let channel: TLSChannel
    let drain: Drain
    let logger: Logger
    /// Receives the port once connections are accepted.
    let listening: @Sendable (Int) -> Void

    /// - Throws: `IOError` if the address cannot be listened on.
    func run() async throws {
        let listener = try await bind()
        let address = listener.channel.localAddress
        logger.info("listening", metadata: .fields([.address: "\(address?.description ?? host)"]))
        listening(address?.port ?? port)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await end(listener.channel) }
            await accept(listener)
            group.cancelAll()
        }
    }

    private func bind() async throws -> NIOAsyncChannel<TLSChannel.Value, Never> {
        let quiet = quiet
        let connections = channel.limits.connections
        return try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.backlog, value: Self.backlog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Self.acceptErrors(connections))
                }
            }
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .bind(host: host, port: port) { [channel] in channel.setup(channel: $0, logger: quiet) }
    }

    /// Keeps errors of single connections from what accepts them all, which would end at the first.
    private static func acceptErrors(_ connections: Connections) -> AcceptBackoffHandler {
        AcceptBackoffHandler(shouldForwardIOErrorCaught: false) { error in
            switch error.errnoCode {
            case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                connections.makeRoom()
                return acceptPause
            default: return nil  // The client has gone again.
            }
        }
    }

    /// Serves until the port is closed and every connection with it.
    private func accept(_ listener: NIOAsyncChannel<TLSChannel.Value, Never>) async {
        let quiet = quiet
        await withDiscardingTaskGroup { group in
            do {
                try await listener.executeThenClose { connections in
                    for try await connection in connections {
                        group.addTask { await channel.handle(value: connection, logger: quiet) }
                    }
                }
            } catch {
                logger.error(
                    "no more connections are accepted", metadata: .fields([.error: "\(error)"]))
            }
        }
    }

    private func end(_ port: any Channel) async {
        do {
            try await gracefulShutdown()
        } catch {
            return drain.cut(port)
        }
        logger.info("draining", metadata: .fields([.requests: "\(drain.requestsInFlight)"]))
        await drain.run(port: port)
    }

    /// The libraries' own chatter about each connection is ours to write.
    private var quiet: Logger {
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .warning)
        return quiet
    }
}
