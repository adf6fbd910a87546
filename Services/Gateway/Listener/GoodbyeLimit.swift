import NIOCore
import NIOHTTP2

/// Closes an HTTP/2 connection some time after it was told that it ends, whatever the client does.
///
/// Hummingbird says goodbye to an idle connection and waits for a sign that the client has heard it: one that never
/// gives it would hold its socket for ever.
final class GoodbyeLimit: ChannelOutboundHandler {
    typealias OutboundIn = HTTP2Frame

    private let patience: TimeAmount
    private var ending: Scheduled<Void>?

    init(_ patience: TimeAmount) {
        self.patience = patience
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .goAway = unwrapOutboundIn(data).payload, ending == nil {
            ending = context.eventLoop.scheduleTask(in: patience) { [channel = context.channel] in
                channel.close(promise: nil)
            }
        }
        context.write(data, promise: promise)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        ending?.cancel()
    }
}
