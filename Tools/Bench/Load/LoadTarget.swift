import Foundation
import NIOCore
import NIOPosix
import NIOSSL

/// Where the load goes: a port of this machine, through TLS.
struct LoadTarget: Sendable {
    /// The load's own threads: more would take the processor from what is measured.
    private static let threads = 1
    static let host = "127.0.0.1"
    private static let connectTimeout: TimeAmount = .seconds(30)

    let port: Int
    private let tls: NIOSSLContext
    private let group: MultiThreadedEventLoopGroup

    /// - Parameter authority: path of the certificate of the authority to trust.
    init(port: Int, authority: String) throws {
        self.port = port
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.trustRoots = .file(authority)
        tls = try NIOSSLContext(configuration: configuration)
        group = MultiThreadedEventLoopGroup(numberOfThreads: Self.threads)
    }

    private init(_ other: LoadTarget, port: Int) {
        self.port = port
        tls = other.tls
        group = other.group
    }

    /// The same with another port.
    func with(port: Int) -> LoadTarget { LoadTarget(self, port: port) }

    var eventLoop: any EventLoop { group.any() }

    /// Connects a channel with what `handlers` makes behind the TLS.
    func connect(
        _ handler: @escaping @Sendable () -> any ChannelInboundHandler
    ) async throws -> any Channel {
        let tls = tls
        return try await ClientBootstrap(group: group)
            .connectTimeout(Self.connectTimeout)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandler(NIOSSLClientHandler(context: tls, serverHostname: nil))
                    try pipeline.addHandler(handler())
                }
            }
            .connect(host: Self.host, port: port).get()
    }

    func shutDown() async throws { try await group.shutdownGracefully() }
}
