import Histogram
import NIOCore
import OperatorKit
import Synchronization

/// Where a closed loop is: all of its connections look here after each answer.
final class LoadPhase: Sendable {
    enum Step: Int {
        /// Answers are checked and not counted.
        case warmingUp
        case measuring
        case ending
    }

    private let step = Atomic(Step.warmingUp.rawValue)

    var current: Step { Step(rawValue: step.load(ordering: .acquiring)) ?? .ending }

    func enter(_ next: Step) { step.store(next.rawValue, ordering: .releasing) }
}

/// What one connection did.
struct ConnectionReport: Sendable {
    var units = 0
    /// Units before anything was measured.
    var earlyUnits = 0
    var requests = 0
    /// Requests that were told 503, to come back later.
    var refused = 0
    var source: any RequestSource
}

/// Microseconds from a request's first byte to its answer's last, of all connections of a loop. One of these has some
/// hundred kilobytes: with one for each of thousands of connections the load would measure itself. Used on the loop's
/// event loop only.
final class LatencyRecord {
    private(set) var histogram = Histogram<UInt64>(numberOfSignificantValueDigits: .three)
    /// Answers that follow each other and count as one, by the sum of their times.
    private let run: Int
    private var sum = TimeAmount.zero
    private var count = 0

    init(run: Int) {
        self.run = run
    }

    func add(_ elapsed: TimeAmount) {
        sum = sum + elapsed
        count += 1
        guard count == run else { return }
        histogram.record(UInt64(max(0, sum.nanoseconds / 1000)))
        (sum, count) = (.zero, 0)
    }
}

/// Asks on one keep-alive connection, the next request as soon as the answer to the last is there. Runs on the event
/// loop alone: no task, no switch of threads.
final class LoadConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let phase: LoadPhase
    /// Requests after which it ends by itself; nil goes on until the phase says so.
    private let limit: Int?
    /// Whether 503 sends this device away for the time that it names, or ends the load.
    private let mayRefuse: Bool
    private let latency: NIOLoopBound<LatencyRecord>
    private let end: EventLoopPromise<ConnectionReport>
    private var report: ConnectionReport
    private var framer = ResponseFramer()
    private var sent = NIODeadline.distantPast
    private var asked = 0
    private var isOver = false

    init(
        _ source: any RequestSource, _ phase: LoadPhase, limit: Int?, mayRefuse: Bool,
        latency: NIOLoopBound<LatencyRecord>, end: EventLoopPromise<ConnectionReport>
    ) {
        self.phase = phase
        self.latency = latency
        self.limit = limit
        self.mayRefuse = mayRefuse
        self.end = end
        report = ConnectionReport(source: source)
    }

    func channelActive(context: ChannelHandlerContext) { ask(context) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        framer.append(unwrapInboundIn(data))
        do {
            while let response = try framer.next() { try take(response, context) }
        } catch {
            fail(error, context)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { fail(error, context) }

    func channelInactive(context: ChannelHandlerContext) {
        fail(StackError("the server closed a connection of the load"), context)
    }

    private func ask(_ context: ChannelHandlerContext) {
        let request = report.source.next()
        asked += 1
        sent = .now()
        context.writeAndFlush(wrapOutboundOut(request), promise: nil)
    }

    private func take(_ response: ResponseFramer.Response, _ context: ChannelHandlerContext) throws
    {
        let step = phase.current
        if response.status == 503, mayRefuse {
            if step == .measuring { report.refused += 1 }
            let loopBound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
            context.eventLoop.scheduleTask(in: .seconds(Int64(response.retryAfter ?? 0))) {
                let (connection, context) = loopBound.value
                connection.goOn(context)
            }
            return
        }
        try count(response, step)
        goOn(context)
    }

    private func goOn(_ context: ChannelHandlerContext) {
        guard !isOver else { return }
        guard phase.current != .ending, limit.map({ asked < $0 }) ?? true else {
            return finish(.success(report), context)
        }
        ask(context)
    }

    private func count(_ response: ResponseFramer.Response, _ step: LoadPhase.Step) throws {
        guard response.status == 200 else {
            throw StackError("\(response.status): \(String(buffer: response.body).prefix(300))")
        }
        let elapsed = NIODeadline.now() - sent
        let units = try response.body.withUnsafeReadableBytes { try report.source.take($0) }
        if step == .warmingUp { report.earlyUnits += units }
        guard step == .measuring else { return }
        report.units += units
        report.requests += 1
        latency.value.add(elapsed)
    }

    private func fail(_ error: any Error, _ context: ChannelHandlerContext) {
        finish(.failure(error), context)
    }

    private func finish(
        _ result: Result<ConnectionReport, any Error>, _ context: ChannelHandlerContext
    ) {
        guard !isOver else { return }
        isOver = true
        end.completeWith(result)
        context.close(promise: nil)
    }
}
