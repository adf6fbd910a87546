import HummingbirdCore
import HummingbirdHTTP2
import Logging
import NIOCore
import NIOSSL

/// Hummingbird's TLS channel for HTTP/1.1 and HTTP/2, made to finish its last answer.
///
/// On graceful shutdown Hummingbird closes an HTTP/2 connection as soon as its last stream has ended, which is
/// while the stream's last frames are being written and before they are flushed: the device never gets the
/// answer to a request that was served. See `CloseAfterFlush`.
struct DrainingChannel: ServerChildChannel {
    private let base: HTTP2UpgradeChannel

    init(_ base: HTTP2UpgradeChannel) {
        self.base = base
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<HTTP2UpgradeChannel.Value> {
        base.setup(channel: channel, logger: logger).flatMapThrowing { value in
            let pipeline = channel.pipeline.syncOperations
            let tls = try pipeline.handler(type: NIOSSLServerHandler.self)
            try pipeline.addHandler(CloseAfterFlush(), position: .after(tls))
            return value
        }
    }

    func handle(value: HTTP2UpgradeChannel.Value, logger: Logger) async {
        await base.handle(value: value, logger: logger)
    }
}

/// Closes one turn of the event loop later than it is told to: what is being written in this turn goes out.
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
