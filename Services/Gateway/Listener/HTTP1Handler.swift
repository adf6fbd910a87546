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
    typealias Answer = @Sendable (Request, Peer, Drain.Admission?) async -> Response

    /// Longest time that the rest of a request may take that is answered already: it is read for the client's sake, who
    /// may look at the answer only then.
    static let restTimeout: TimeAmount = .seconds(30)

    /// Longest time for which a client may leave answers unread and ask for more.
    let idleTimeout: TimeAmount
    /// Longest time of one request.
    let requestTimeout: Duration
    let drain: Drain
    let peer: Peer
    let answer: Answer
    /// The head of a request that has come so far without a body.
    private var head: HTTPRequest?
    /// Where the parts of the body go that is coming now.
    var body: HTTP1Body.Source?
    let flow = HTTP1Body.Flow()
    var isAnswering = false
    /// The client sends no body before it gets `100 Continue`.
    var isClientWaiting = false
    /// A request whose answer is not looked for while the answers before it are not taken.
    var waiting: Request?
    /// Closes the connection, unless what is waited for comes.
    var ending: Scheduled<Void>?
    var closesAfterAnswer = false
    /// The last answer is written: what follows its request is not answered.
    var isOver = false
    /// Writes an answer whose end is not known when it begins.
    var streaming: Task<Void, Never>?
    /// Of the request that is being answered, until the answer is written.
    var admission: Drain.Admission?
    /// The client has closed its end.
    var isInputClosed = false

    init(
        idleTimeout: TimeAmount, requestTimeout: Duration, drain: Drain, peer: Peer,
        answer: @escaping Answer
    ) {
        self.idleTimeout = idleTimeout
        self.requestTimeout = requestTimeout
        self.drain = drain
        self.peer = peer
        self.answer = answer
    }

    func handlerAdded(context: ChannelHandlerContext) {
        flow.context = context
    }

    /// The connection has ended: the handlers before this one do not all pass on that it is inactive.
    func handlerRemoved(context: ChannelHandlerContext) {
        flow.context = nil
        endBody(ChannelError.ioOnClosedChannel)
        waiting = nil
        ending?.cancel()
        streaming?.cancel()
        admission?.clientIs(.gone)
        admission = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isOver else { return }
        switch unwrapInboundIn(data) {
        case .head(let head):
            if head.headerFields[.connection] == "close" { closesAfterAnswer = true }
            // One with a body is answered from its head on: it may be refused before the body is there.
            if Self.hasBody(head) { begin(head, context) } else { self.head = head }
        case .body(let bytes):
            isClientWaiting = false
            if let body, body.yield(bytes) == .stopProducing { flow.isHeld = true }
        case .end:
            if let head {
                run(Request(head: head, body: RequestBody(buffer: ByteBuffer())), context)
            }
            head = nil
            if body != nil { bodyEnded(context) }
        }
    }

    private func bodyEnded(_ context: ChannelHandlerContext) {
        endBody()
        guard !isAnswering else { return }
        ending?.cancel()
        if closesAfterAnswer { context.close(promise: nil) }
    }

    private static func hasBody(_ head: HTTPRequest) -> Bool {
        head.headerFields[.transferEncoding] != nil
            || head.headerFields[.contentLength].map { $0 != "0" } ?? false
    }

    func endBody(_ error: (any Error)? = nil) {
        if let error { body?.finish(error) } else { body?.finish() }
        body = nil
    }

    /// Reads no further while the body that has come is not taken.
    func read(context: ChannelHandlerContext) {
        if flow.isHeld { flow.isReadWanted = true } else { context.read() }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case ChannelEvent.inputClosed:
            endBody(ChannelError.inputClosed)
            // A client that sends no more may still read.
            closesAfterAnswer = true
            isInputClosed = true
            admission?.clientIs(.silent)
            if !isAnswering { context.close(promise: nil) }
        case is DrainBegan:
            closesAfterAnswer = true
            // While the rest of a body comes, it closes after that, or at the drain's end.
            if !isAnswering, body == nil { context.close(promise: nil) }
        default: break
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        let isAnswered = isAnswering || body != nil
        // After an error the client must not find that a later request was carried out.
        isOver = true
        endBody(error)
        guard error is HTTPParserError, !isAnswered else { return context.close(promise: nil) }
        let response = HTTPResponse(
            status: .badRequest, headerFields: [.connection: "close", .contentLength: "0"])
        context.write(wrapOutboundOut(.head(response)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        context.close(promise: nil)
    }
}
