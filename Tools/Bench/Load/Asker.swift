import NIOCore
import OperatorKit

/// Sends single requests on one keep-alive connection, each on demand.
struct Asker: Sendable {
    struct Answer: Sendable {
        let status: Int
        let body: ByteBuffer
        /// When the request's first byte went and the answer's last came, by the event loop.
        let sent: NIODeadline
        let received: NIODeadline
    }

    private let channel: any Channel

    init(_ target: LoadTarget) async throws {
        channel = try await target.connect { AskingHandler() }
    }

    /// - Throws: `StackError` for any status but 200.
    func ask(_ request: ByteBuffer) async throws -> Answer {
        let answer = try await exchange(request)
        guard answer.status == 200 else {
            throw StackError("\(answer.status): \(String(buffer: answer.body).prefix(300))")
        }
        return answer
    }

    /// Takes whatever status the answer has.
    ///
    /// - Parameter limit: when it closes the connection if there is no answer; nil waits on.
    func exchange(_ request: ByteBuffer, within limit: TimeAmount? = nil) async throws -> Answer {
        let promise = channel.eventLoop.makePromise(of: Answer.self)
        channel.writeAndFlush(Question(request: request, answer: promise), promise: nil)
        let end = limit.map { limit in
            channel.eventLoop.scheduleTask(in: limit) { [channel] in
                promise.fail(StackError("no answer in time"))
                channel.close(promise: nil)
            }
        }
        defer { end?.cancel() }
        return try await promise.futureResult.get()
    }

    func close() { channel.close(promise: nil) }
}

private struct Question: Sendable {
    let request: ByteBuffer
    let answer: EventLoopPromise<Asker.Answer>
}

private final class AskingHandler: ChannelInboundHandler, ChannelOutboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = Question
    typealias OutboundOut = ByteBuffer

    private var framer = ResponseFramer()
    private var open: (answer: EventLoopPromise<Asker.Answer>, sent: NIODeadline)?

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let question = unwrapOutboundIn(data)
        guard context.channel.isActive else {
            return question.answer.fail(ChannelError.ioOnClosedChannel)
        }
        open = (question.answer, .now())
        context.write(wrapOutboundOut(question.request), promise: promise)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        framer.append(unwrapInboundIn(data))
        do {
            guard let response = try framer.next(), let open else { return }
            self.open = nil
            open.answer.succeed(
                .init(
                    status: response.status, body: response.body, sent: open.sent,
                    received: .now()))
        } catch {
            errorCaught(context: context, error: error)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        open?.answer.fail(error)
        open = nil
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        open?.answer.fail(StackError("the server closed the connection"))
        open = nil
    }
}
