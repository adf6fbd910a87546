import NIOCore
import NIOPosix
import NIOSSL

/// A connection to a gateway that says what a test wants, byte for byte. What it does not take it does not read.
struct RawConnection {
    let inbound: NIOAsyncChannelInboundStream<ByteBuffer>
    let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>

    /// Opens one for `body`.
    ///
    /// - Parameter speaksTLS: false stays silent after the TCP connection is there.
    static func with<Result>(
        _ gateway: RunningGateway, speaksTLS: Bool = true,
        _ body: (RawConnection) async throws -> Result
    ) async throws -> Result {
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.trustRoots = .file(gateway.certificate)
        let context = try NIOSSLContext(configuration: tls)
        let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .connect(host: "localhost", port: gateway.port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    if speaksTLS {
                        let handler = try NIOSSLClientHandler(
                            context: context, serverHostname: "localhost")
                        try channel.pipeline.syncOperations.addHandler(handler)
                    }
                    return try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
                        wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            try await body(RawConnection(inbound: inbound, outbound: outbound))
        }
    }

    /// Sends and reads until the gateway closes.
    static func exchange(_ gateway: RunningGateway, _ text: String) async throws -> String {
        try await with(gateway) { connection in
            try await connection.outbound.write(ByteBuffer(string: text))
            var answer = ""
            for try await part in connection.inbound { answer += String(buffer: part) }
            return answer
        }
    }
}
