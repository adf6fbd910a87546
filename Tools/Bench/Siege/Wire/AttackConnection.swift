import NIOCore
import OperatorKit

/// One connection of an attack. Runs on the event loop alone, as the benchmark's load does.
final class AttackConnection<Wire: AttackWire>: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var wire: Wire
    private let pace: TimeAmount
    private let deadline: NIODeadline
    private let record: AttackRecord
    private let over: EventLoopPromise<Void>
    private var turn = 0
    private var sent: NIODeadline?
    private var isOver = false

    /// - Parameters:
    ///   - deadline: when it closes.
    ///   - over: succeeds at the deadline, and fails if the connection ends before.
    init(
        _ wire: Wire, pace: TimeAmount, until deadline: NIODeadline, _ record: AttackRecord,
        over: EventLoopPromise<Void>
    ) {
        self.wire = wire
        self.pace = pace
        self.deadline = deadline
        self.record = record
        self.over = over
    }

    func channelActive(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(deadline: deadline) {
            let (connection, context) = bound.value
            connection.finish(nil, context)
        }
        if let greeting = wire.greeting { context.write(wrapOutboundOut(greeting), promise: nil) }
        ask(context)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        do {
            let answers = try wire.take(unwrapInboundIn(data))
            if let reply = wire.reply() {
                context.writeAndFlush(wrapOutboundOut(reply), promise: nil)
            }
            for answer in answers { take(answer, context) }
        } catch {
            finish(error, context)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { finish(error, context) }

    func channelInactive(context: ChannelHandlerContext) {
        finish(StackError("closed by the gateway"), context)
    }

    private func ask(_ context: ChannelHandlerContext) {
        guard !isOver else { return }
        let request = wire.request(turn)
        turn += 1
        sent = .now()
        context.writeAndFlush(wrapOutboundOut(request), promise: nil)
    }

    private func take(_ answer: AttackAnswer, _ context: ChannelHandlerContext) {
        guard let sent, !isOver else { return }
        self.sent = nil
        record.answered(answer, after: .now() - sent)
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(deadline: max(.now(), sent + pace)) {
            let (connection, context) = bound.value
            connection.ask(context)
        }
    }

    private func finish(_ error: (any Error)?, _ context: ChannelHandlerContext) {
        guard !isOver else { return }
        isOver = true
        if let error {
            over.fail(error)
        } else {
            if let sent { record.cut(after: .now() - sent) }
            over.succeed()
        }
        context.close(promise: nil)
    }
}
