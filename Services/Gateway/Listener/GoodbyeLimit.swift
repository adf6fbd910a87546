import NIOCore
import NIOHTTP2

/// Says goodbye on an HTTP/2 connection when the gateway goes down, and closes a connection some time
/// after any goodbye, whatever the client does.
///
/// Hummingbird sends GOAWAY and waits for a sign that the client has heard it: a client that never
/// gives one would hold its socket for ever. It also closes a connection at any error.
final class GoodbyeLimit: ChannelDuplexHandler {
    typealias InboundIn = HTTP2Frame
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

    /// After the HTTP/2 handler, which would pass the event on to the streams: they end by
    /// themselves.
    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        let event = event is DrainBegan ? ChannelShouldQuiesceEvent() : event
        context.fireUserInboundEventTriggered(event)
    }

    /// An error of one stream ends that stream: the HTTP/2 handler has told the client, and counts
    /// such errors. Passed on, it would close the connection, and the requests on other streams would
    /// lose their answers. A client that opens a stream while it hears the goodbye causes one.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if error is NIOHTTP2Errors.StreamError { return }
        context.fireErrorCaught(error)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        ending?.cancel()
    }
}
