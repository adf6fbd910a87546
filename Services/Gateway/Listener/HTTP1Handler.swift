import HTTPTypes
import HummingbirdCore
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import RPC

/// Answers the requests of one HTTP/1.1 connection, one after the other: a task for each request, and none between
/// them.
///
/// The handler before it holds back a request that comes before the last one is answered.
final class HTTP1Handler: ChannelDuplexHandler {
    typealias InboundIn = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart
    typealias Answer = @Sendable (Request) async -> Response

    private let answer: Answer
    /// The head of a request that has come so far without a body.
    private var head: HTTPRequest?
    /// Where the parts of the body go that is coming now.
    private var body: HTTP1Body.Source?
    private let flow = HTTP1Body.Flow()
    private var isAnswering = false
    private var closesAfterAnswer = false
    /// Writes an answer whose end is not known when it begins.
    private var streaming: Task<Void, Never>?

    init(answer: @escaping Answer) {
        self.answer = answer
    }

    func handlerAdded(context: ChannelHandlerContext) {
        flow.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        flow.context = nil
        endBody(ChannelError.ioOnClosedChannel)
    }

    func channelInactive(context: ChannelHandlerContext) {
        endBody(ChannelError.ioOnClosedChannel)
        streaming?.cancel()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            if head.headerFields[.connection] == "close" { closesAfterAnswer = true }
            // One with a body is answered from its head on: it may be refused before the body is there.
            if Self.hasBody(head) { begin(head, context) } else { self.head = head }
        case .body(let bytes):
            if let body, body.yield(bytes) == .stopProducing { flow.isHeld = true }
        case .end:
            if let head {
                run(Request(head: head, body: RequestBody(buffer: ByteBuffer())), context)
            }
            head = nil
            endBody()
        }
    }

    private static func hasBody(_ head: HTTPRequest) -> Bool {
        head.headerFields[.transferEncoding] != nil
            || head.headerFields[.contentLength].map { $0 != "0" } ?? false
    }

    private func endBody(_ error: (any Error)? = nil) {
        if let error { body?.finish(error) } else { body?.finish() }
        body = nil
    }

    /// Reads no further while the body that has come is not taken.
    func read(context: ChannelHandlerContext) {
        if flow.isHeld { flow.isReadWanted = true } else { context.read() }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed = event {
            endBody(ChannelError.inputClosed)
            // Whoever says no more may still listen.
            closesAfterAnswer = true
            if !isAnswering { context.close(promise: nil) }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        endBody(error)
        guard error is HTTPParserError, !isAnswering else { return context.close(promise: nil) }
        let response = HTTPResponse(
            status: .badRequest, headerFields: [.connection: "close", .contentLength: "0"])
        context.write(wrapOutboundOut(.head(response)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        context.close(promise: nil)
    }
}

// MARK: - Answers

extension HTTP1Handler {
    /// A request whose body is still coming.
    private func begin(_ head: HTTPRequest, _ context: ChannelHandlerContext) {
        let (body, source) = HTTP1Body.make(flow: NIOLoopBound(flow, eventLoop: context.eventLoop))
        self.body = source
        run(Request(head: head, body: RequestBody(asyncSequence: body)), context)
    }

    private func run(_ request: Request, _ context: ChannelHandlerContext) {
        isAnswering = true
        let loopBound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let answer = answer
        // Goes on when the device hangs up, as work in the services does; the request's own deadline ends it.
        Task(executorPreference: EventLoopExecutor.of(context.eventLoop)) {
            let response = await answer(request)
            let bytes = await CollectedBody.bytes(of: response.body)
            loopBound.eventLoop.execute {
                let (handler, context) = loopBound.value
                handler.write(response, bytes, context)
            }
        }
    }

    /// - Parameter bytes: the body; nil when it is to be written as it comes.
    private func write(
        _ response: Response, _ bytes: ByteBuffer?, _ context: ChannelHandlerContext
    ) {
        guard context.channel.isActive else { return }
        context.write(wrapOutboundOut(.head(response.head)), promise: nil)
        if let bytes {
            if bytes.readableBytes > 0 {
                context.write(wrapOutboundOut(.body(bytes)), promise: nil)
            }
            write(context: context, data: wrapOutboundOut(.end(nil)), promise: nil)
        }
        context.flush()
        guard bytes == nil else { return }
        // A task of its own: what it took to find the answer is not kept while the answer lasts.
        streaming = Task { [channel = context.channel, body = response.body] in
            do {
                try await body.write(ChannelBodyWriter(channel: channel))
            } catch {
                channel.close(promise: nil)
            }
        }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let part = unwrapOutboundIn(data)
        guard case .end = part else { return context.write(data, promise: promise) }
        // First, as the next request may come within the write: what it says of closing is about itself.
        let closes = closesAfterAnswer
        isAnswering = false
        streaming = nil
        context.write(wrapOutboundOut(part), promise: promise)
        if closes { context.close(promise: nil) }
    }
}
