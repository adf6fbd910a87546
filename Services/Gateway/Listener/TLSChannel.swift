import HummingbirdCore
import HummingbirdHTTP2
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTP2
import NIOHTTPTypesHTTP1
import NIOSSL
import NIOTLS

/// The gateway's connections: TLS, then HTTP/1.1 by `HTTP1Handler` or HTTP/2 by Hummingbird, as the client prefers.
///
/// Thousands of connections are idle or only watch: one of HTTP/1.1 holds no task that reads.
struct TLSChannel: ServerChildChannel {
    /// How a connection goes on once TLS is agreed on.
    enum Negotiated: Sendable {
        case http1
        indirect case http2(HTTP2Channel.Value)
    }

    struct Value: ServerChildChannelValue {
        let channel: any Channel
        fileprivate let negotiated: EventLoopFuture<Negotiated>
    }

    let tls: NIOSSLContext
    let http2: HTTP2Channel
    /// Longest silence on a connection without a request.
    let idleTimeout: Duration
    /// Longest time that a connection may last once it was said that it ends.
    let drainTimeout: Duration
    let answer: HTTP1Handler.Answer

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            let pipeline = channel.pipeline.syncOperations
            try pipeline.addHandler(NIOSSLServerHandler(context: tls))
            try pipeline.addHandler(CloseAfterFlush())
            try pipeline.addHandler(HandshakeLimit())
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
            return http2.setup(channel: channel, logger: logger).flatMapThrowing { value in
                let pipeline = channel.pipeline.syncOperations
                let frames = try pipeline.handler(type: NIOHTTP2Handler.self)
                try pipeline.addHandler(
                    GoodbyeLimit(TimeAmount(drainTimeout)), position: .after(frames))
                return .http2(value)
            }
        }
        return channel.eventLoop.makeCompletedFuture {
            let pipeline = channel.pipeline.syncOperations
            try pipeline.configureHTTPServerPipeline(
                withPipeliningAssistance: true, withErrorHandling: false,
                withOutboundHeaderValidation: false)
            try pipeline.addHandler(OldClients())
            try pipeline.addHandler(HTTP1ToHTTPServerCodec(secure: true))
            try pipeline.addHandler(
                HTTPConnectionStateHandler(idleTimeout: idleTimeout, logger: logger))
            try pipeline.addHandler(
                HTTP1Handler(idleTimeout: TimeAmount(idleTimeout), answer: answer))
            return .http1
        }
    }

    /// Short steps, each in a function of its own: what this task has once needed for its stack it keeps.
    func handle(value: Value, logger: Logger) async {
        switch try? await value.negotiated.get() {
        case .http1: await Self.wait(for: value.channel)
        case .some(let negotiated): await handle(negotiated, logger)
        case nil: logger.debug("a connection ended before it was agreed how to speak on it")
        }
    }

    @inline(never)
    private static func wait(for channel: any Channel) async {
        await withTaskCancellationHandler {
            try? await channel.closeFuture.get()
        } onCancel: {
            channel.close(promise: nil)
        }
    }

    @inline(never)
    private func handle(_ negotiated: Negotiated, _ logger: Logger) async {
        guard case .http2(let connection) = negotiated else { return }
        await http2.handle(value: connection, logger: logger)
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
