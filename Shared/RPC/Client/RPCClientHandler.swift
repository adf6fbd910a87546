import NIOCore
import Protos

/// What a connection tells the client it belongs to.
enum ConnectionEvent: Sendable {
    /// The server has answered the first ping, sent at `asked`: there is a live process behind the
    /// socket.
    case ready(RPCHello, ServiceStatus, asked: ContinuousClock.Instant)
    /// Its status has changed.
    case status(ServiceStatus)
    /// It has answered the ping sent at `asked`: the status told last still held then.
    case confirmed(asked: ContinuousClock.Instant)
    /// The socket has room for more, or has none.
    case writable(Bool)
    /// It has answered, and does not work with this program. The connection ends.
    case incompatible(RPCHello)
    case goingAway
    /// Comes before the calls in flight fail, so that they are not tried here again.
    case lost(reason: String)
}

/// Where the frames of one call go. Called on the event loop.
protocol CallReceiver: Sendable {
    /// One part of a streamed answer.
    func part(_ frame: Frame)
    /// The call is over: nothing more comes.
    func end(_ ending: CallEnding)
}

/// How a call ended on its connection.
enum CallEnding: Sendable {
    case answered(message: ByteBuffer, body: ByteBuffer)
    case failed(RPCFailure)
    /// The connection ended; the server may or may not have begun.
    case connectionLost
    /// The call never left this process.
    case notSent
}

/// One connection of a client: sends calls, hands out answers, pings the server.
final class RPCClientHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let limits: RPCLimits
    private let hello: RPCHello
    private let notify: @Sendable (ConnectionEvent) -> Void
    private let events: RPCEventSink
    private var context: ChannelHandlerContext?
    private var decoder: FrameDecoder
    private var calls = ClientCalls()
    private var pulse: Pulse
    private var receivers: [UInt32: any CallReceiver] = [:]
    private let output = FlushOnce()
    private var sweep: Scheduled<Void>?
    private var nextLook: Scheduled<Void>?
    private var isReady = false
    private var lossReason: String?
    private var hasEnded = false

    init(
        limits: RPCLimits, hello: RPCHello, events: RPCEventSink,
        notify: @escaping @Sendable (ConnectionEvent) -> Void
    ) {
        self.limits = limits
        self.hello = hello
        self.events = events
        self.notify = notify
        decoder = FrameDecoder(limit: limits.maximumFrameBytes)
        pulse = Pulse(limits: limits, now: .now)
    }

    func channelActive(context: ChannelHandlerContext) {
        self.context = context
        let loopBound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.channel.checkPeer(limits, events: events).whenComplete { result in
            switch result {
            // The kernel accepts connections for a process that is frozen. Only an answer counts.
            case .success: loopBound.value.sendFirstPing()
            case .failure(let error): loopBound.value.close(reason: "\(error)")
            }
        }
        context.eventLoop.scheduleTask(in: TimeAmount(limits.connectTimeout)) {
            let handler = loopBound.value
            if !handler.isReady { handler.close(reason: "no answer to the first ping") }
        }
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        connectionEnded()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        connectionEnded()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        close(reason: "\(error)")
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if !hasEnded { notify(.writable(context.channel.isWritable)) }
        context.fireChannelWritabilityChanged()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        pulse.heard(now: .now)
        decoder.append(unwrapInboundIn(data))
        do throws(FrameError) {
            while let frame = try decoder.next() { receive(frame) }
        } catch {
            events(.protocolViolation(error.description))
            close(reason: error.description)
        }
        if calls.isDone { close(reason: "drained") }
    }

    private func receive(_ frame: Frame) {
        let id = frame.header.callID
        switch frame.header.kind {
        case .part:
            receivers[id]?.part(frame)
        case .end:
            guard calls.end(id) else { return }  // Cancelled: the frames crossed.
            let ending: CallEnding =
                frame.header.hasFailure
                ? .failed(RPCFailure(wire: frame.header.failure))
                : .answered(message: frame.message, body: frame.body)
            receivers.removeValue(forKey: id)?.end(ending)
        case .goAway:
            calls.goAway()
            notify(.goingAway)
        case .ping:
            send(.control(.pong, call: id))
        case .pong:
            ponged(frame.message)
        case .status:
            guard isReady, let status = try? WireServerStatus(frameBytes: frame.message) else {
                break
            }
            notify(.status(ServiceStatus(wire: status)))
        case .unspecified, .call, .cancel, .credit, .UNRECOGNIZED:
            break  // Of a newer server: nothing that this version has to know.
        }
    }
}

// MARK: - Pings

extension RPCClientHandler {
    private func sendFirstPing() {
        pulse = Pulse(limits: limits, now: .now)
        send(.control(.ping, call: 0))
    }

    private func ponged(_ message: ByteBuffer) {
        let asked = pulse.ponged()
        if isReady {
            notify(.confirmed(asked: asked))
        } else {
            greet(message, asked: asked)
        }
    }

    /// - Parameter message: the server's hello; empty from an older one, which is compatible and
    ///   has no status.
    private func greet(_ message: ByteBuffer, asked: ContinuousClock.Instant) {
        var status = ServiceStatus.ready
        var server = RPCHello()
        if message.readableBytes > 0, let wire = try? WireHello(frameBytes: message) {
            let theirs = RPCHello(wire: wire)
            guard hello.worksWith(theirs) else {
                notify(.incompatible(theirs))
                return close(reason: "incompatible: \(theirs)")
            }
            (server, status) = (theirs, ServiceStatus(wire: wire.status))
        }
        isReady = true
        notify(.ready(server, status, asked: asked))
        armLook()
    }

    private func armLook() {
        guard let context else { return }
        let loopBound = NIOLoopBound(self, eventLoop: context.eventLoop)
        let now = ContinuousClock.now
        let wait = pulse.nextLook(after: now) - now
        nextLook = context.eventLoop.scheduleTask(in: TimeAmount(wait)) {
            loopBound.value.look()
        }
    }

    private func look() {
        switch pulse.look(now: .now) {
        case .ping: send(.control(.ping, call: 0))
        case .eject: return close(reason: "silent")
        case nil: break
        }
        armLook()
    }
}

// MARK: - Calls

extension RPCClientHandler {
    /// Sends a call. Its receiver hears exactly one ending.
    func begin(_ frame: Frame, deadline: ContinuousClock.Instant, receiver: any CallReceiver) {
        guard context != nil, lossReason == nil else { return receiver.end(.notSent) }
        guard deadline > .now else { return receiver.end(.failed(.deadlineExceeded)) }
        if let error = send(frame) {
            return receiver.end(.failed(.requestTooLarge(error)))
        }
        let id = frame.header.callID
        calls.begin(id, deadline: deadline)
        receivers[id] = receiver
        armSweep()
    }

    /// Nobody waits for the answer any more.
    func cancel(_ id: UInt32) {
        guard calls.end(id) else { return }
        abandon(id, with: .cancelled)
        if calls.isDone { close(reason: "drained") }
    }

    /// The reader of a stream has taken parts.
    func grant(_ id: UInt32, parts: UInt32) {
        guard receivers[id] != nil else { return }
        var frame = Frame.control(.credit, call: id)
        frame.header.partCredit = parts
        send(frame)
    }

    private func abandon(_ id: UInt32, with failure: RPCFailure) {
        send(.control(.cancel, call: id))
        receivers.removeValue(forKey: id)?.end(.failed(failure))
    }

    private func armSweep() {
        guard sweep == nil, let context else { return }
        let loopBound = NIOLoopBound(self, eventLoop: context.eventLoop)
        sweep = context.eventLoop.scheduleTask(in: TimeAmount(RPCLimits.sweepInterval)) {
            loopBound.value.sweepDeadlines()
        }
    }

    private func sweepDeadlines() {
        sweep = nil
        for id in calls.expire(now: .now) { abandon(id, with: .deadlineExceeded) }
        if calls.isDone { close(reason: "drained") }
        if !receivers.isEmpty { armSweep() }
    }
}

// MARK: - Connection

extension RPCClientHandler {
    @discardableResult
    private func send(_ frame: Frame) -> FrameError? {
        guard let context else { return nil }
        return output.write(frame, limit: limits.maximumFrameBytes, to: context)
    }

    /// Ends the connection; calls in flight fail as lost.
    func close(reason: String) {
        guard lossReason == nil else { return }
        lossReason = reason
        context?.close(promise: nil)
        connectionEnded()
    }

    private func connectionEnded() {
        guard !hasEnded else { return }
        hasEnded = true
        context = nil
        sweep?.cancel()
        nextLook?.cancel()
        notify(.lost(reason: lossReason ?? "closed by the server"))
        let open = receivers
        receivers = [:]
        for receiver in open.values { receiver.end(.connectionLost) }
    }
}

extension RPCFailure {
    static func requestTooLarge(_ error: FrameError) -> RPCFailure {
        RPCFailure(
            .tooLarge, code: "request_too_large", message: "The request is too large: \(error)")
    }
}
