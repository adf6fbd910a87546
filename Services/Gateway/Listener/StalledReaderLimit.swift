import NIOCore
import NIOHTTPTypes

/// Ends an HTTP/2 stream, or an HTTP/1.1 connection, whose client takes nothing of its answer for
/// some time: what is held for it would stay for as long as the client likes.
///
/// An answer that leaves at once, as nearly all do, costs a promise and no timer.
final class StalledReaderLimit: ChannelOutboundHandler, RemovableChannelHandler {
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    /// Bytes of the pieces in which a stream's body is written, those of an HTTP/2 frame: each that
    /// the client has room for is a sign of life.
    static let pieceBytes = 16 << 10

    private let interval: TimeAmount
    /// A stream is reset; a connection is closed without a goodbye, which nobody would read.
    private let isStream: Bool
    private let stalled: @Sendable () -> Void
    private var patience = ReaderPatience()
    private var look: Scheduled<Void>?

    /// - Parameters:
    ///   - time: for which a client may take nothing.
    ///   - stalled: is told when it is over.
    init(_ time: Duration, isStream: Bool, stalled: @escaping @Sendable () -> Void) {
        interval = TimeAmount(time / ReaderPatience.looks)
        self.isStream = isStream
        self.stalled = stalled
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        look?.cancel()
        look = nil
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head:
            context.write(data, promise: promise)
        case .body(var bytes) where isStream:
            while bytes.readableBytes > Self.pieceBytes,
                let piece = bytes.readSlice(length: Self.pieceBytes)
            {
                context.write(wrapOutboundOut(.body(piece)), promise: observed(nil, context))
            }
            context.write(wrapOutboundOut(.body(bytes)), promise: observed(promise, context))
        case .body where promise == nil:
            // The end of the answer comes behind it, in the same turn.
            context.write(data, promise: nil)
        case .body, .end:
            context.write(data, promise: observed(promise, context))
        }
    }

    func flush(context: ChannelHandlerContext) {
        context.flush()
        guard patience.isWaiting, look == nil else { return }
        patience.begin(buffered: bufferedBytes(context))
        scheduleLook(context)
    }

    private func observed(
        _ promise: EventLoopPromise<Void>?, _ context: ChannelHandlerContext
    ) -> EventLoopPromise<Void> {
        let promise = promise ?? context.eventLoop.makePromise(of: Void.self)
        patience.wrote()
        promise.futureResult.assumeIsolated().whenComplete { _ in self.patience.took() }
        return promise
    }

    private func scheduleLook(_ context: ChannelHandlerContext) {
        let loopBound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        look = context.eventLoop.scheduleTask(in: interval) {
            let (handler, context) = loopBound.value
            handler.look(context)
        }
    }

    private func look(_ context: ChannelHandlerContext) {
        look = nil
        switch patience.look(buffered: bufferedBytes(context)) {
        case .nothingWaits: break
        case .goesOn: scheduleLook(context)
        case .stalled:
            stalled()
            if isStream { context.close(promise: nil) } else { context.channel.cut() }
        }
    }

    /// Bytes that the connection's socket has not taken.
    private func bufferedBytes(_ context: ChannelHandlerContext) -> Int {
        let connection = isStream ? context.channel.parent : context.channel
        return (try? connection?.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
    }
}
