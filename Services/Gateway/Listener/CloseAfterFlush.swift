import NIOCore
import NIOSSL

/// Closes once everything that was written before has gone out, and as soon as the client has closed its end too.
///
/// On graceful shutdown Hummingbird closes an HTTP/2 connection as soon as its last stream has ended, which is
/// while the stream's last frames are being written and before they are flushed: the device would never get the
/// answer to a request that was served.
///
/// TLS waits for the client's goodbye, and where clients may close one direction alone it does not see that goodbye:
/// every close would take its whole patience of 5 s.
final class CloseAfterFlush: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Longest time for what was written to go out.
    private let patience: TimeAmount
    /// The client has been told that the connection ends.
    private var hasSaidGoodbye = false
    /// Bytes that were written, before TLS.
    private(set) var writtenBytes = 0

    init(patience: TimeAmount) {
        self.patience = patience
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        writtenBytes += unwrapOutboundIn(data).readableBytes
        context.write(data, promise: promise)
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        let loopBound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        // One turn later: what is being written in this turn goes out too.
        context.eventLoop.execute {
            let (handler, context) = loopBound.value
            guard mode == .all, context.channel.isActive else {
                context.flush()
                return context.close(mode: mode, promise: promise)
            }
            let limit = context.eventLoop.scheduleTask(in: handler.patience) {
                loopBound.value.1.close(mode: mode, promise: nil)
            }
            handler.whenGone(context) {
                limit.cancel()
                let (handler, context) = loopBound.value
                handler.hasSaidGoodbye = true
                context.close(mode: mode, promise: promise)
            }
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        context.fireUserInboundEventTriggered(event)
        if case ChannelEvent.inputClosed = event, hasSaidGoodbye { context.channel.cut() }
    }

    /// Calls `gone` on the event loop when the system has taken everything, or never will.
    func whenGone(_ context: ChannelHandlerContext, _ gone: @escaping @Sendable () -> Void) {
        // Writes keep their order: this one has gone when all before it have.
        let last = context.eventLoop.makePromise(of: Void.self)
        context.writeAndFlush(wrapOutboundOut(ByteBuffer()), promise: last)
        last.futureResult.whenComplete { _ in gone() }
    }
}

extension Channel {
    /// Closes at once, without a goodbye of TLS and its answer.
    func cut() {
        eventLoop.execute {
            let tls = try? self.pipeline.syncOperations.context(
                handlerType: NIOSSLServerHandler.self)
            // After the handler that would wait.
            if let tls { tls.close(promise: nil) } else { self.close(promise: nil) }
        }
    }
}
