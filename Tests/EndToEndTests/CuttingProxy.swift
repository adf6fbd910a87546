import NIOCore
import NIOPosix
import Synchronization

/// Passes TCP on to the gateway, and cuts connections where it is told.
///
/// It sees what anybody on the way sees: TLS records. Under TLS 1.2 the first record of application data from a
/// device is its request, and the first one from the gateway is its answer.
final class CuttingProxy: Sendable {
    /// What becomes of a connection.
    enum Fate: Equatable {
        case passes
        /// It ends when this many bytes of the request got through.
        case cutsRequest(after: Int)
        /// It ends when the gateway's answer is there, which nobody gets to see.
        case cutsAnswer
    }

    private struct Cut: Error {}
    private typealias Connection = NIOAsyncChannel<ByteBuffer, ByteBuffer>

    private let listener: NIOAsyncChannel<Connection, Never>
    /// Connections go to them in turn.
    private let gatewayPorts: [Int]
    private let connections = Atomic(0)
    private let fate = Mutex(Fate.passes)

    /// Lends a proxy, and the port on which it listens.
    static func run(
        before gatewayPorts: [Int],
        _ body: @escaping @Sendable (CuttingProxy, _ port: Int) async throws -> Void
    ) async throws {
        let listener = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .bind(host: "127.0.0.1", port: 0) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try Connection(wrappingChannelSynchronously: channel)
                }
            }
        guard let port = listener.channel.localAddress?.port else { throw Cut() }
        let proxy = CuttingProxy(listener, gatewayPorts)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await proxy.serve() }
            tasks.addTask { try await body(proxy, port) }
            // The listener never ends by itself: the first end is that of the body.
            try await tasks.next()
            tasks.cancelAll()
        }
    }

    private init(_ listener: NIOAsyncChannel<Connection, Never>, _ gatewayPorts: [Int]) {
        self.listener = listener
        self.gatewayPorts = gatewayPorts
    }

    /// Decides about the connections that come from now on.
    func set(_ fate: Fate) { self.fate.withLock { $0 = fate } }

    private func serve() async throws {
        try await listener.executeThenClose { connections in
            try await withThrowingDiscardingTaskGroup { tasks in
                for try await connection in connections {
                    let fate = fate.withLock { $0 }
                    // A connection that ends, by a cut or by one of its ends, ends alone.
                    tasks.addTask { try? await self.pass(connection, fate) }
                }
            }
        }
    }

    private func pass(_ device: Connection, _ fate: Fate) async throws {
        let turn = connections.wrappingAdd(1, ordering: .relaxed).oldValue
        let gatewayPort = gatewayPorts[turn % gatewayPorts.count]
        let gateway = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .connect(host: "127.0.0.1", port: gatewayPort) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try Connection(wrappingChannelSynchronously: channel)
                }
            }
        try await device.executeThenClose { fromDevice, toDevice in
            try await gateway.executeThenClose { fromGateway, toGateway in
                try await withThrowingTaskGroup(of: Void.self) { tasks in
                    tasks.addTask {
                        try await Self.passRequest(fromDevice, to: toGateway, fate)
                    }
                    tasks.addTask {
                        try await Self.passAnswer(fromGateway, to: toDevice, fate)
                    }
                    // Whichever way ends first takes the other one with it.
                    try await tasks.next()
                    tasks.cancelAll()
                }
            }
        }
    }

    private static func passRequest(
        _ device: NIOAsyncChannelInboundStream<ByteBuffer>,
        to gateway: NIOAsyncChannelOutboundWriter<ByteBuffer>, _ fate: Fate
    ) async throws {
        var records = TLSRecords()
        for try await var bytes in device {
            let seen = records.applicationBytes
            let before = bytes.readableBytes - records.read(bytes)
            if case .cutsRequest(let limit) = fate, records.applicationBytes > limit {
                let rest = bytes.readSlice(length: before + max(0, limit - seen))
                if let rest, rest.readableBytes > 0 { try await gateway.write(rest) }
                throw Cut()
            }
            try await gateway.write(bytes)
        }
    }

    private static func passAnswer(
        _ gateway: NIOAsyncChannelInboundStream<ByteBuffer>,
        to device: NIOAsyncChannelOutboundWriter<ByteBuffer>, _ fate: Fate
    ) async throws {
        var records = TLSRecords()
        for try await bytes in gateway {
            _ = records.read(bytes)
            if fate == .cutsAnswer, records.applicationBytes > 0 { throw Cut() }
            try await device.write(bytes)
        }
    }
}
