import NIOCore
import NIOPosix
import NIOSSL

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A connection to a gateway that says what a test wants, byte for byte. What it does not take it does not read.
struct RawConnection {
    let inbound: NIOAsyncChannelInboundStream<ByteBuffer>
    let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>

    /// Opens one for `body`.
    ///
    /// - Parameters:
    ///   - port: nil is that of devices.
    ///   - speaksTLS: false stays silent after the TCP connection is there.
    ///   - alpn: `h2` or `http/1.1`.
    ///   - resets: ends with a reset and not in order, as a device does that is gone.
    ///   - receiveBufferBytes: what the system takes before the test does; nil leaves it to the
    ///     system.
    ///   - adjust: changes what the client offers of TLS.
    static func with<Result>(
        _ gateway: RunningGateway, at port: Int? = nil, speaksTLS: Bool = true,
        alpn: String = "http/1.1", resets: Bool = false, receiveBufferBytes: Int? = nil,
        adjusting adjust: (inout TLSConfiguration) -> Void = { _ in },
        _ body: (RawConnection) async throws -> Result
    ) async throws -> Result {
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.trustRoots = .file(gateway.certificate)
        tls.applicationProtocols = [alpn]
        adjust(&tls)
        let context = try NIOSSLContext(configuration: tls)
        var bootstrap = ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
        if let receiveBufferBytes {
            bootstrap = bootstrap.channelOption(
                .socketOption(.so_rcvbuf),
                value: receiveBufferBytes)
        }
        let channel =
            try await bootstrap
            .connect(host: "localhost", port: port ?? gateway.port) { channel in
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
        if resets, let socket = channel.channel as? any SocketOptionProvider {
            try await socket.setSoLinger(linger(l_onoff: 1, l_linger: 0)).get()
        }
        return try await channel.executeThenClose { inbound, outbound in
            try await body(RawConnection(inbound: inbound, outbound: outbound))
        }
    }

    /// A whole GET request of HTTP/1.1.
    ///
    /// - Parameter headers: further lines, each with its end.
    static func get(_ path: String, token: String, _ headers: String = "") -> String {
        """
        GET \(path) HTTP/1.1\r
        Host: localhost\r
        Authorization: Bearer \(token)\r
        \(headers)\r

        """
    }

    /// Sends and reads until the gateway closes.
    static func exchange(
        _ gateway: RunningGateway, _ text: String, at port: Int? = nil
    ) async throws -> String {
        try await with(gateway, at: port) { connection in
            try await connection.outbound.write(ByteBuffer(string: text))
            var answer = ""
            for try await part in connection.inbound { answer += String(buffer: part) }
            return answer
        }
    }
}
