import NIOCore
import NIOPosix
import Synchronization

/// Decides about one direction of a connection.
package protocol RelayFilter: Sendable {
    /// - Parameter bytes: what has come.
    /// - Returns: what goes on, and whether the connection ends then.
    mutating func pass(_ bytes: ByteBuffer) async throws -> (bytes: ByteBuffer, ends: Bool)
}

/// Passes TCP connections on to gateways, through filters. It reads nothing: under TLS it sees what
/// anybody on the way sees.
package struct Relay: Sendable {
    /// The filters of a connection, or nil: then it ends at once.
    package typealias Filters =
        @Sendable () -> (request: any RelayFilter, answer: any RelayFilter)?

    private typealias Connection = NIOAsyncChannel<ByteBuffer, ByteBuffer>

    private struct NoPort: Error {}

    /// Connections go to them in turn.
    private let gatewayPorts: [Int]
    private let filters: Filters

    /// Lends a relay that listens on a port of 127.0.0.1.
    package static func run(
        before gatewayPorts: [Int], filters: @escaping Filters,
        _ body: @escaping @Sendable (_ port: Int) async throws -> Void
    ) async throws {
        let listener = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .bind(host: "127.0.0.1", port: 0) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try Connection(wrappingChannelSynchronously: channel)
                }
            }
        guard let port = listener.channel.localAddress?.port else { throw NoPort() }
        let relay = Relay(gatewayPorts: gatewayPorts, filters: filters)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await relay.serve(listener) }
            tasks.addTask { try await body(port) }
            // The listener never ends by itself: the first end is that of the body.
            try await tasks.next()
            tasks.cancelAll()
        }
    }

    private func serve(_ listener: NIOAsyncChannel<Connection, Never>) async throws {
        let count = Atomic(0)
        try await listener.executeThenClose { connections in
            try await withThrowingDiscardingTaskGroup { tasks in
                for try await connection in connections {
                    let turn = count.wrappingAdd(1, ordering: .relaxed).oldValue
                    let port = gatewayPorts[turn % gatewayPorts.count]
                    let filters = filters()
                    // A connection that ends, by a cut or by one of its ends, ends alone.
                    tasks.addTask { try? await Self.pass(connection, to: port, filters) }
                }
            }
        }
    }

    private static func pass(
        _ device: Connection, to port: Int,
        _ filters: (request: any RelayFilter, answer: any RelayFilter)?
    ) async throws {
        try await device.executeThenClose { fromDevice, toDevice in
            guard let filters else { return }
            let gateway = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
                .connect(host: "127.0.0.1", port: port) { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try Connection(wrappingChannelSynchronously: channel)
                    }
                }
            try await gateway.executeThenClose { fromGateway, toGateway in
                try await withThrowingTaskGroup(of: Void.self) { tasks in
                    tasks.addTask {
                        try await Self.pass(fromDevice, to: toGateway, filters.request)
                    }
                    tasks.addTask {
                        try await Self.pass(fromGateway, to: toDevice, filters.answer)
                    }
                    // When one direction ends, the other ends with it.
                    defer { tasks.cancelAll() }
                    try await tasks.next()
                }
            }
        }
    }

    private static func pass(
        _ source: NIOAsyncChannelInboundStream<ByteBuffer>,
        to target: NIOAsyncChannelOutboundWriter<ByteBuffer>, _ filter: any RelayFilter
    ) async throws {
        var filter = filter
        for try await bytes in source {
            let (passed, ends) = try await filter.pass(bytes)
            if passed.readableBytes > 0 { try await target.write(passed) }
            if ends { return }
        }
    }
}
