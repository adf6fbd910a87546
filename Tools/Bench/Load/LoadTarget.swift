import Foundation
import NIOCore
import NIOPosix
import NIOSSL

/// Where the load goes: a port of this machine, through TLS.
struct LoadTarget: Sendable {
    /// The load's own threads: more would take the processor from what is measured.
    private static let threads = 1
    static let host = "127.0.0.1"

    var port: Int
    var connectTimeout: TimeAmount = .seconds(30)
    private let authority: String
    private var tls: NIOSSLContext
    private let group: MultiThreadedEventLoopGroup

    /// - Parameter authority: path of the certificate of the authority to trust.
    init(port: Int, authority: String) throws {
        self.port = port
        self.authority = authority
        tls = try Self.context(authority)
        group = MultiThreadedEventLoopGroup(numberOfThreads: Self.threads)
    }

    /// The same with another port.
    func with(port: Int) -> LoadTarget {
        var other = self
        other.port = port
        return other
    }

    /// The same on connections that agree on a protocol of TLS's list, such as `h2`.
    func speaking(_ name: String) throws -> LoadTarget {
        var other = self
        other.tls = try Self.context(authority, protocols: [name])
        return other
    }

    private static func context(
        _ authority: String, protocols: [String] = []
    ) throws -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.trustRoots = .file(authority)
        configuration.applicationProtocols = protocols
        return try NIOSSLContext(configuration: configuration)
    }

    var eventLoop: any EventLoop { group.any() }

    /// Connects a channel with what `handler` makes after the TLS handler.
    func connect(
        _ handler: @escaping @Sendable () -> any ChannelInboundHandler
    ) async throws -> any Channel {
        let tls = tls
        return
            try await bootstrap
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandler(NIOSSLClientHandler(context: tls, serverHostname: nil))
                    try pipeline.addHandler(handler())
                }
            }
            .connect(host: Self.host, port: port).get()
    }

    /// Connects a channel whose handler keeps a promise.
    func connect<Value: Sendable>(
        promising _: Value.Type,
        _ handler: @escaping @Sendable (EventLoopPromise<Value>) -> any ChannelInboundHandler
    ) async throws -> (channel: any Channel, kept: EventLoopFuture<Value>) {
        let promise = eventLoop.makePromise(of: Value.self)
        do {
            return (try await connect { handler(promise) }, promise.futureResult)
        } catch {
            promise.fail(error)
            throw error
        }
    }

    /// Connects and says nothing: not even the first word of TLS.
    func connectSilently() async throws -> any Channel {
        try await bootstrap.connect(host: Self.host, port: port).get()
    }

    private var bootstrap: ClientBootstrap {
        ClientBootstrap(group: group).connectTimeout(connectTimeout)
    }

    func shutDown() async throws { try await group.shutdownGracefully() }
}
