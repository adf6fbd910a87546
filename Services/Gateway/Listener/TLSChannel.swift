import HummingbirdCore
import HummingbirdHTTP2
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTPTypesHTTP1
import NIOSSL
import NIOTLS

/// The gateway's connections: TLS, then HTTP/1.1 by `HTTP1Handler` or HTTP/2 by Hummingbird, as the client prefers.
///
/// Thousands of connections are idle or only watch: one of HTTP/1.1 holds no task that reads, and no buffer
/// that its last answer needed.
struct TLSChannel: ServerChildChannel {
    /// Bytes of outgoing ciphertext that a connection keeps room for.
    private static let preservedOutboundBytes = 1024

    /// How a connection goes on once TLS is agreed on.
    enum Negotiated: Sendable {
        case http1
        case http2(HTTP2Channel.Value)
    }

    struct Value: ServerChildChannelValue {
        let channel: any Channel
        fileprivate let negotiated: EventLoopFuture<Negotiated>
    }

    let tls: NIOSSLContext
    let http2: HTTP2Channel
    /// Longest silence on a connection without a request.
    let idleTimeout: Duration
    let answer: HTTP1Handler.Answer

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            var configuration = NIOSSLHandler.Configuration()
            configuration.maximumPreservedOutboundBufferCapacity = Self.preservedOutboundBytes
            let pipeline = channel.pipeline.syncOperations
            try pipeline.addHandler(NIOSSLServerHandler(context: tls, configuration: configuration))
            try pipeline.addHandler(CloseAfterFlush())
            let negotiation = NIOTypedApplicationProtocolNegotiationHandler<Negotiated> {
                self.goOn(with: $0, on: channel, logger)
            }
            try pipeline.addHandler(negotiation)
            return Value(channel: channel, negotiated: negotiation.protocolNegotiationResult)
        }
    }

    private func goOn(
        with result: ALPNResult, on channel: any Channel, _ logger: Logger
    ) -> EventLoopFuture<Negotiated> {
        if case .negotiated("h2") = result {
            return http2.setup(channel: channel, logger: logger).map { .http2($0) }
        }
        return channel.eventLoop.makeCompletedFuture {
            let pipeline = channel.pipeline.syncOperations
            try pipeline.configureHTTPServerPipeline(
                withPipeliningAssistance: true, withErrorHandling: false,
                withOutboundHeaderValidation: false)
            try pipeline.addHandler(HTTP1ToHTTPServerCodec(secure: true))
            try pipeline.addHandler(
                HTTPConnectionStateHandler(idleTimeout: idleTimeout, logger: logger))
            try pipeline.addHandler(HTTP1Handler(answer: answer))
            return .http1
        }
    }

    func handle(value: Value, logger: Logger) async {
        switch try? await value.negotiated.get() {
        case .http2(let connection): await http2.handle(value: connection, logger: logger)
        case .http1:
            await withTaskCancellationHandler {
                try? await value.channel.closeFuture.get()
            } onCancel: {
                value.channel.close(promise: nil)
            }
        case nil: logger.debug("a connection ended before it was agreed how to speak on it")
        }
    }
}

/// Closes one turn of the event loop later than it is told to: what is being written in this turn goes out.
///
/// On graceful shutdown Hummingbird closes an HTTP/2 connection as soon as its last stream has ended, which is
/// while the stream's last frames are being written and before they are flushed: the device would never get the
/// answer to a request that was served.
final class CloseAfterFlush: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        let loopBound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.eventLoop.execute {
            let context = loopBound.value
            context.flush()
            context.close(mode: mode, promise: promise)
        }
    }
}
