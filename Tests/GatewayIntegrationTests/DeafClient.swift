import NIOCore
import NIOPosix
import NIOSSL

/// A client that says something, hears the beginning of the answer, and reads nothing more: it does not hear a
/// goodbye, and does not answer one.
struct DeafClient {
    /// What an HTTP/2 client says first: the preface, and empty settings.
    static let http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0"

    private let channel: any Channel

    /// - Parameter alpn: `h2` or `http/1.1`.
    init(_ gateway: RunningGateway, alpn: String, says text: String) async throws {
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.trustRoots = .file(gateway.certificate)
        tls.applicationProtocols = [alpn]
        let context = try NIOSSLContext(configuration: tls)
        let heard = MultiThreadedEventLoopGroup.singleton.any().makePromise(of: Void.self)
        channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .connect(host: "localhost", port: gateway.port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = try NIOSSLClientHandler(
                        context: context, serverHostname: "localhost")
                    try channel.pipeline.syncOperations.addHandlers(handler, Deafness(heard))
                    return channel
                }
            }
        try await channel.writeAndFlush(ByteBuffer(string: text))
        try await heard.futureResult.get()
    }

    func close() async throws {
        // It hears that the gateway is gone, where it does not know yet.
        try? await channel.setOption(.autoRead, value: true).get()
        try await channel.closeFuture.get()
    }

    private final class Deafness: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let heard: EventLoopPromise<Void>
        private var isDeaf = false

        init(_ heard: EventLoopPromise<Void>) { self.heard = heard }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            guard !isDeaf else { return }
            isDeaf = true
            let heard = heard
            context.channel.setOption(.autoRead, value: false).whenComplete { _ in
                heard.succeed()
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            heard.fail(error)
        }
    }
}
