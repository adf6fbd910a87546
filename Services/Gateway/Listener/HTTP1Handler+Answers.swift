import HTTPTypes
import HummingbirdCore
import NIOCore
import NIOHTTPTypes
import RPC

extension HTTP1Handler {
    /// A request whose body is still coming.
    func begin(_ head: HTTPRequest, _ context: ChannelHandlerContext) {
        let (body, source) = HTTP1Body.make(flow: NIOLoopBound(flow, eventLoop: context.eventLoop))
        self.body = source
        isClientWaiting = head.headerFields[.expect]?.lowercased() == "100-continue"
        guard isClientWaiting else {
            return run(Request(head: head, body: RequestBody(asyncSequence: body)), context)
        }
        let loopBound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let awaited = HTTP1Body.Awaited(body: body) {
            loopBound.eventLoop.execute {
                let (handler, context) = loopBound.value
                handler.goOn(context)
            }
        }
        run(Request(head: head, body: RequestBody(asyncSequence: awaited)), context)
    }

    /// Tells a client to send its body, as it is wanted.
    private func goOn(_ context: ChannelHandlerContext) {
        guard isClientWaiting, context.channel.isActive else { return }
        isClientWaiting = false
        let response = HTTPResponse(status: .continue)
        context.writeAndFlush(wrapOutboundOut(.head(response)), promise: nil)
    }

    /// An answer is in memory until the client takes it: there are no more of them than it takes.
    func run(_ request: Request, _ context: ChannelHandlerContext) {
        isAnswering = true
        guard context.channel.isWritable else {
            waiting = request
            return close(context, in: idleTimeout)
        }
        let loopBound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let (answer, peer) = (answer, peer)
        let admission = drain.admit(deadline: .now + requestTimeout)
        self.admission = admission
        if isInputClosed { admission?.clientIs(.silent) }
        // Goes on when the device hangs up, as work in the services does; the request's own deadline ends it.
        // Only requests that wait for news learn of it.
        Task(executorPreference: EventLoopExecutor.of(context.eventLoop)) {
            let response = await answer(request, peer, admission)
            let bytes = await CollectedBody.bytes(of: response.body)
            loopBound.eventLoop.execute {
                let (handler, context) = loopBound.value
                handler.write(response, bytes, admission, context)
            }
        }
    }

    /// - Parameter bytes: the body; nil when it is to be written as it comes.
    private func write(
        _ response: Response, _ bytes: ByteBuffer?, _ admission: Drain.Admission?,
        _ context: ChannelHandlerContext
    ) {
        guard context.channel.isActive else { return }
        if drain.isDraining { closesAfterAnswer = true }
        // One that was not told to send its body, and has no further request, sends nothing more.
        if isClientWaiting, closesAfterAnswer { endBody() }
        isClientWaiting = false
        var head = response.head
        if closesAfterAnswer { head.headerFields[.connection] = "close" }
        context.write(wrapOutboundOut(.head(head)), promise: nil)
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
        let (closes, isRestComing) = (closesAfterAnswer, body != nil)
        let admission = admission
        (isAnswering, streaming, self.admission) = (false, nil, nil)
        let isLast = closes && !isRestComing
        if isLast { isOver = true }
        let left = promise ?? context.eventLoop.makePromise(of: Void.self)
        context.write(wrapOutboundOut(part), promise: left)
        if isRestComing { close(context, in: Self.restTimeout) }
        let loopBound = NIOLoopBound(context, eventLoop: context.eventLoop)
        left.futureResult.whenComplete { _ in
            // The system has the last byte: the gateway may go.
            withExtendedLifetime(admission) {}
            if isLast { loopBound.value.close(promise: nil) }
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable, let request = waiting {
            waiting = nil
            ending?.cancel()
            run(request, context)
        }
        context.fireChannelWritabilityChanged()
    }

    private func close(_ context: ChannelHandlerContext, in time: TimeAmount) {
        ending = context.eventLoop.scheduleTask(in: time) { [channel = context.channel] in
            channel.close(promise: nil)
        }
    }
}
