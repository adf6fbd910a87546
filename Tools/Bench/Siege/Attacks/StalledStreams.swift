import NIOCore

/// Streams of HTTP/2 that ask for large pages and let the gateway send nothing of them.
struct StalledStreams: Attack {
    private static let users = 4
    private static let streamsPerUser = 25
    /// A page ends at 8 MiB of payloads: rows of about 1 MiB, and one more than fit.
    private static let rows = 10
    private static let contentTimes = 13_000
    /// Beyond the time in which streams must end, in seconds, for timers and a busy machine.
    private static let grace = 5.0
    private static let longestStall = "a stream ends within, ms"
    /// What the gateway may take in addition to its budget, in bytes: connections, buffers on their
    /// way.
    private static let margin = 64 << 20
    private static let budget = "budget, bytes"
    /// Seconds in which each stream's answer begins: the pages are read a few at a time.
    private static let answerTime = 20.0

    let id = "stalled-streams"
    let work = "100 HTTP/2 streams with window 0 ask for pages of 8 MB"

    func prepare(_ field: SiegeField) async throws -> Assault {
        // Several users, so that no user's share of bytes a second is what holds them off.
        let devices = try await field.readers(
            "attacker", users: Self.users, changes: Self.rows, contentTimes: Self.contentTimes)
        let path = "/sync/download?after=0&limit=1000&include_self=true"
        try await field.ask(RequestBytes.get(path, token: devices[0].token))
        let target = try field.target.speaking("h2")
        let plan = field.plan
        let end = Self.answerTime + plan.stallSeconds + Self.grace
        let longest = plan.stallSeconds + Self.grace
        return {
            let record = AttackRecord()
            record.figure(Self.budget, Double(plan.gatewayBudget))
            record.figure(Self.longestStall, longest * 1000)
            await withTaskGroup(of: Void.self) { group in
                for device in devices {
                    group.addTask {
                        await Self.stall(
                            target, HTTP2.head(path, token: device.token), for: end, record)
                    }
                }
            }
            return record.report
        }
    }

    func requirements(_ seen: SiegeObservation) -> [Judgement] {
        [
            .plain("attacker: streams that were opened", Double(seen.attack.all), .atLeast(1)),
            .plain(
                "attacker: streams that did not end",
                Double(seen.attack.count(AttackRecord.unanswered)), .atMost(0)),
            .plain(
                "attacker: longest time from an answer's head to its stream's end, ms",
                seen.attack.longest[StalledConnection.reset] ?? 0,
                .atMost(seen.attack.figures[Self.longestStall] ?? 0)),
            seen.memoryGrows(
                of: "gateway",
                atMost: Int(seen.attack.figures[Self.budget] ?? 0) + Self.margin),
            seen.memoryReturns(of: "gateway"),
        ]
    }

    private static func stall(
        _ target: LoadTarget, _ head: ByteBuffer, for seconds: Double, _ record: AttackRecord
    ) async {
        let deadline = NIODeadline.now() + .nanoseconds(Int64(seconds * 1e9))
        do {
            let connection = try await target.connect(promising: Void.self) {
                StalledConnection(head, streamsPerUser, until: deadline, record, over: $0)
            }
            try await connection.kept.get()
        } catch {
            record.failed(AttackTrouble.name(error))
        }
    }
}

/// One connection whose streams all wait for room that is never given.
private final class StalledConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// The gateway has ended a stream.
    static let reset = "reset"

    private let head: ByteBuffer
    private let streams: Int
    private let deadline: NIODeadline
    private let record: AttackRecord
    private let over: EventLoopPromise<Void>
    private var framer = HTTP2Framer()
    /// When the head of each open stream's answer came; nil before.
    private var open: [Int: NIODeadline?] = [:]
    private var began = NIODeadline.now()
    private var isOver = false

    init(
        _ head: ByteBuffer, _ streams: Int, until deadline: NIODeadline, _ record: AttackRecord,
        over: EventLoopPromise<Void>
    ) {
        self.head = head
        self.streams = streams
        self.deadline = deadline
        self.record = record
        self.over = over
    }

    func channelActive(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(deadline: deadline) {
            let (connection, context) = bound.value
            connection.finish(context)
        }
        began = .now()
        context.write(wrapOutboundOut(HTTP2.greeting(window: 0)), promise: nil)
        for index in 0..<streams {
            let stream = 2 * index + 1
            open[stream] = .some(nil)
            context.write(wrapOutboundOut(HTTP2.get(stream: stream, head)), promise: nil)
        }
        context.flush()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        framer.append(unwrapInboundIn(data))
        while let frame = framer.next() {
            if let reply = HTTP2Framer.reply(to: frame) {
                context.writeAndFlush(wrapOutboundOut(reply), promise: nil)
            }
            if frame.isA(.headers), let known = open[frame.stream], known == nil {
                open[frame.stream] = .now()
            }
            guard frame.endsStream, let began = open.removeValue(forKey: frame.stream) else {
                continue
            }
            if frame.isA(.resetStream), let began {
                record.ended(Self.reset, after: .now() - began)
            } else {
                record.failed("answered without a body")
            }
        }
        if open.isEmpty { finish(context) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        for _ in open { record.failed("closed with the connection") }
        open = [:]
        finish(context)
    }

    private func finish(_ context: ChannelHandlerContext) {
        guard !isOver else { return }
        isOver = true
        for _ in open { record.cut(after: .now() - began) }
        open = [:]
        over.succeed()
        context.close(promise: nil)
    }
}
