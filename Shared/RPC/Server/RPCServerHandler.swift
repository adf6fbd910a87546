import NIOCore
import Protos
import ServiceLifecycle

/// One connection of a server: reads frames, runs a task per call, writes answers.
///
/// The tasks are not children of a group, because a group cannot cancel one child and a CANCEL
/// frame means one call. They still end with the connection: it is over (`finished`) only after the
/// last of them has returned.
final class RPCServerHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let shared: RPCServerShared
    private let peer: PeerCredentials
    /// What the peer has called though it may not.
    private var refusedMethods: Set<String> = []
    /// Most methods of a connection whose refusals are reported.
    private static let maximumRefusedMethods = 32
    private let finished: EventLoopPromise<Void>
    private var context: ChannelHandlerContext?
    private var decoder: FrameDecoder
    private var calls = ServerCalls()
    private var tasks: [UInt32: Task<Void, Never>] = [:]
    private var pendingParts: [UInt32: PendingPart] = [:]
    private let output = FlushOnce()
    private var sweep: Scheduled<Void>?
    /// The status that the client knows; nil before the hello.
    private var toldStatus: ServiceStatus?
    /// Ends a drain that its client does not end.
    private var drainEnd: Scheduled<Void>?
    /// The drain began before the connection did.
    private var isBornLate = false

    /// - Parameter finished: succeeds when the connection and all of its handlers are done.
    init(
        shared: RPCServerShared, peer: PeerCredentials, finished: EventLoopPromise<Void>
    ) {
        self.shared = shared
        self.peer = peer
        self.finished = finished
        decoder = FrameDecoder(limit: shared.limits.maximumFrameBytes)
    }

    func channelActive(context: ChannelHandlerContext) {
        self.context = context
        shared.add(NIOLoopBound(self, eventLoop: context.eventLoop))
        shared.events(.connectionAccepted)
        if isBornLate { goAway() }
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        shared.events(.connectionEnded)
        connectionEnded()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        connectionEnded()  // A channel that never became active becomes inactive in silence.
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            for call in pendingParts.keys.sorted() { resumePart(of: call) }
        }
        context.fireChannelWritabilityChanged()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        decoder.append(unwrapInboundIn(data))
        do throws(FrameError) {
            while let frame = try decoder.next() { receive(frame) }
        } catch {
            shared.events(.protocolViolation(error.description))
            context.close(promise: nil)
        }
    }

    private func receive(_ frame: Frame) {
        let id = frame.header.callID
        switch frame.header.kind {
        case .call:
            begin(frame)
        case .cancel:
            if calls.cancel(id) { cancel([id]) }
        case .credit:
            calls.addCredit(id, frame.header.partCredit)
            resumePart(of: id)
        case .ping where toldStatus == nil:
            sayHello(answering: id)
        case .ping:
            // Before the PONG, which confirms what the client knows.
            tellStatus()
            send(.control(.pong, call: id))
        case .pong, .unspecified, .part, .end, .goAway, .status, .UNRECOGNIZED:
            break  // Of a newer client: nothing that this version has to know.
        }
    }
}

// MARK: - Calls

extension RPCServerHandler {
    private func begin(_ frame: Frame) {
        let header = frame.header
        let now = ContinuousClock.now
        let call = CallContext(header: header, now: now)
        guard shared.limits.peers.admits(peer.user, calling: header.method) else {
            // Once for each: who tries again and again fills no log.
            if refusedMethods.count < Self.maximumRefusedMethods,
                refusedMethods.insert(header.method).inserted
            {
                shared.events(.callRefused(user: peer.user, method: header.method))
            }
            return end(header.callID, failing: .callNotAllowed(header.method))
        }
        guard let handler = shared.router.handler(for: header.method) else {
            return end(header.callID, failing: .unknownMethod(header.method))
        }
        // Closed by a frame before this one: no place may be taken that nobody gives back.
        guard context != nil else { return }
        guard calls.isWelcome(now: now, crossing: shared.limits.crossingTime) else {
            return end(header.callID, failing: .draining)
        }
        guard shared.callsInFlight.enter(limit: shared.limits.maximumCallsInFlight) else {
            return end(header.callID, failing: .overloaded)
        }
        guard calls.begin(header.callID, deadline: call.deadline, credit: header.partCredit) else {
            shared.callsInFlight.leave()
            shared.events(.protocolViolation("call id \(header.callID) used twice"))
            context?.close(promise: nil)
            return
        }
        run(handler, frame: frame, call: call, started: now)
        armSweep()
    }

    private func run(
        _ handler: RPCRouter.Handler, frame: Frame, call: CallContext,
        started: ContinuousClock.Instant
    ) {
        guard let context else { return }
        let id = frame.header.callID
        let loopBound = NIOLoopBound(self, eventLoop: context.eventLoop)
        let (message, body, method) = (frame.message, frame.body, frame.header.method)
        let events = shared.events
        let executor = EventLoopExecutor.of(context.eventLoop)
        tasks[id] = Task(executorPreference: executor) {
            let outcome = await handler.runTraced(
                method: method, message: message, body: body, call: call,
                parts: PartWriter(call: id, connection: loopBound), events: events)
            loopBound.eventLoop.execute {
                let record = RPCCallRecord(
                    method: method, requestID: call.requestID, status: outcome.failure?.status,
                    duration: .now - started, requestBytes: body.readableBytes,
                    replyBytes: outcome.body.readableBytes)
                loopBound.value.finish(id, outcome, record)
            }
        }
    }

    private func finish(_ id: UInt32, _ outcome: HandlerOutcome, _ record: RPCCallRecord) {
        tasks[id] = nil
        shared.callsInFlight.leave()
        var record = record
        if calls.finish(id) {
            if let failure = outcome.failure {
                end(id, failing: failure)
            } else {
                record.status = end(id, message: outcome.message, body: outcome.body)
            }
        } else if record.status == nil {
            record.status = .cancelled
        }
        shared.events(.callHandled(record))
        finishIfDone()
        leaveIfIdle()
    }

    private func cancel(_ ids: [UInt32]) {
        for id in ids {
            tasks[id]?.cancel()
            abandonPart(of: id)
        }
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
        let expired = calls.expire(now: .now)
        cancel(expired)
        for id in expired { end(id, failing: .deadlineExceeded) }
        if !calls.isEmpty { armSweep() }
    }

    private func connectionEnded() {
        context = nil
        shared.remove(self)
        cancel(calls.peerGone())
        finishIfDone()
    }

    private func finishIfDone() {
        guard calls.isPeerGone, calls.isEmpty else { return }
        sweep?.cancel()
        drainEnd?.cancel()
        finished.succeed()
    }
}

// MARK: - Output

extension RPCServerHandler {
    private func end(_ id: UInt32, failing failure: RPCFailure) {
        var frame = Frame.control(.end, call: id)
        frame.header.failure = failure.wire
        send(frame)
    }

    /// - Returns: why the answer could not be sent; the caller has been told.
    private func end(_ id: UInt32, message: ByteBuffer, body: ByteBuffer) -> RPCStatus? {
        var frame = Frame.control(.end, call: id)
        frame.message = message
        frame.body = body
        guard let error = send(frame) else { return nil }
        shared.events(.protocolViolation("an answer not sent: \(error)"))
        end(id, failing: .answerTooLarge)
        return .internal
    }

    @discardableResult
    private func send(_ frame: Frame) -> FrameError? {
        guard let context else { return nil }
        return output.write(frame, limit: shared.limits.maximumFrameBytes, to: context)
    }

    /// Sends a part, now or when the reader is ready for it.
    func writePart(_ part: PendingPart, of call: UInt32) {
        switch calls.sendPart(call, isWritable: context?.channel.isWritable ?? false) {
        case .wait where pendingParts[call] == nil:
            pendingParts[call] = part
        case .wait:
            // Two writers of one stream at once: there would be no order to keep.
            part.continuation.resume(returning: .failure(.internal))
        case .stop:
            part.continuation.resume(returning: .failure(.cancelled))
        case .send:
            var frame = Frame.control(.part, call: call)
            frame.message = part.message
            frame.body = part.body
            let error = send(frame)
            part.continuation.resume(
                returning: error == nil ? .success(()) : .failure(.answerTooLarge))
        }
    }

    private func resumePart(of call: UInt32) {
        guard let part = pendingParts.removeValue(forKey: call) else { return }
        writePart(part, of: call)
    }

    /// Nobody wants the part any more, or its writer was cancelled.
    func abandonPart(of call: UInt32) {
        pendingParts.removeValue(forKey: call)?.continuation.resume(
            returning: .failure(.cancelled))
    }
}

// MARK: - Status

extension RPCServerHandler {
    private func sayHello(answering id: UInt32) {
        let status = shared.status
        toldStatus = status
        var frame = Frame.control(.pong, call: id)
        // Without a hello, should it not encode, the client takes this for an older server.
        frame.message = (try? shared.hello.wire(status).encodedForFrame()) ?? ByteBuffer()
        send(frame)
    }

    /// Tells the client the status, if it knows another. Before the hello there is nothing to tell:
    /// that has the status.
    func tellStatus() {
        let status = shared.status
        guard let toldStatus, toldStatus != status,
            let message = try? status.wire.encodedForFrame()
        else { return }
        self.toldStatus = status
        var frame = Frame.control(.status, call: 0)
        frame.message = message
        send(frame)
    }
}

// MARK: - Drain

extension RPCServerHandler {
    /// Asks the client for no more calls. It closes the connection when it has its last answer;
    /// calls that crossed the request are served like any other, so none is lost.
    func goAway() {
        guard let context else { return isBornLate = true }
        guard !calls.hasSaidGoAway else { return }
        shared.beginDrain()
        calls.goAway(now: .now)
        send(.control(.goAway, call: 0))
        let loopBound = NIOLoopBound(self, eventLoop: context.eventLoop)
        drainEnd = context.eventLoop.scheduleTask(in: TimeAmount(shared.limits.drainTimeout)) {
            loopBound.value.giveUpDrain()
        }
        leaveIfIdle()
    }

    /// Closes a connection without calls that its client does not close: it may be frozen, and
    /// what it sends after that goes elsewhere.
    private func leaveIfIdle() {
        guard let context, calls.hasSaidGoAway, calls.isEmpty else { return }
        let loopBound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: TimeAmount(shared.limits.closingPatience)) {
            let handler = loopBound.value
            guard let context = handler.context, handler.calls.isEmpty else { return }
            // After the answers: closing drops what the client has not taken.
            let gone = context.eventLoop.makePromise(of: Void.self)
            context.writeAndFlush(handler.wrapOutboundOut(ByteBuffer()), promise: gone)
            gone.futureResult.whenComplete { _ in
                if loopBound.value.calls.isEmpty { loopBound.value.close() }
            }
        }
    }

    private func giveUpDrain() {
        guard let context else { return }
        shared.events(.drainTimedOut(callsInFlight: calls.calls.count))
        cancel(calls.abandonAll())
        context.close(promise: nil)
    }

    /// Ends the connection at once; its handlers are cancelled.
    func close() {
        context?.close(promise: nil)
    }
}
