import NIOCore
import NIOHTTPTypes

/// Ends an HTTP/2 stream, or an HTTP/1.1 connection, whose client takes nothing of its answer for
/// some time, or next to nothing: what is held for it would stay for as long as the client likes.
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
    /// Bytes written without a promise of their own.
    private var unobserved = 0

    /// - Parameters:
    ///   - time: for which a client may take nothing.
    ///   - stalled: called when the time is over.
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
                let promise = observed(nil, piece.readableBytes, context)
                context.write(wrapOutboundOut(.body(piece)), promise: promise)
            }
            let promise = observed(promise, bytes.readableBytes, context)
            context.write(wrapOutboundOut(.body(bytes)), promise: promise)
        case .body(let bytes) where promise == nil:
            // The end of the answer follows it in the same turn.
            unobserved += bytes.readableBytes
            context.write(data, promise: nil)
        case .body(let bytes):
            context.write(data, promise: observed(promise, bytes.readableBytes, context))
        case .end:
            context.write(data, promise: observed(promise, 0, context))
        }
    }

    func flush(context: ChannelHandlerContext) {
        context.flush()
        guard patience.isWaiting, look == nil else { return }
        patience.begin(connection(context))
        scheduleLook(context)
    }

    private func observed(
        _ promise: EventLoopPromise<Void>?, _ bytes: Int, _ context: ChannelHandlerContext
    ) -> EventLoopPromise<Void> {
        let promise = promise ?? context.eventLoop.makePromise(of: Void.self)
        let bytes = bytes + unobserved
        unobserved = 0
        patience.wrote(bytes)
        promise.futureResult.assumeIsolated().whenComplete { _ in self.patience.took(bytes) }
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
        switch patience.look(connection(context)) {
        case .nothingWaits: break
        case .goesOn: scheduleLook(context)
        case .stalled:
            stalled()
            if isStream { context.close(promise: nil) } else { context.channel.cut() }
        }
    }

    private func connection(_ context: ChannelHandlerContext) -> ReaderPatience.Connection {
        guard let connection = isStream ? context.channel.parent : context.channel else {
            return ReaderPatience.Connection()
        }
        let buffered = (try? connection.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
        let written = try? connection.pipeline.syncOperations
            .handler(type: CloseAfterFlush.self).writtenBytes
        return ReaderPatience.Connection(sent: (written ?? 0) - buffered, buffered: buffered)
    }
}
