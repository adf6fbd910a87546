import HummingbirdCore
import HummingbirdHTTP2
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTP2
import NIOHTTPTypesHTTP1
import NIOSSL
import NIOTLS

/// The gateway's connections: TLS, then HTTP/1.1 by `HTTP1Handler` or HTTP/2 by Hummingbird, as the client prefers.
///
/// Thousands of connections are idle or only watch: one of HTTP/1.1 holds no task that reads.
struct TLSChannel: ServerChildChannel {
    /// How a connection goes on once TLS is agreed on.
    enum Negotiated: Sendable {
        case http1
        indirect case http2(HTTP2Channel, HTTP2Channel.Value)
    }

    struct Value: ServerChildChannelValue {
        let channel: any Channel
        fileprivate let negotiated: EventLoopFuture<Negotiated>
    }

    let identity: TLSIdentity
    let door: TLSIdentity.Door
    /// Longest silence on a connection without a request.
    let idleTimeout: Duration
    /// Longest time of one request. A connection that is to close has this time for its last one.
    let requestTimeout: Duration
    let drain: Drain
    let limits: GatewayLimits
    let answer: HTTP1Handler.Answer

    /// HTTP/2 on one connection: its requests know by which one they came.
    private func http2(_ peer: Peer) -> HTTP2Channel {
        let (drain, answer, requestTimeout) = (drain, answer, requestTimeout)
        let (limits, idle) = (limits, idleTimeout.components.seconds)
        return HTTP2Channel(
            responder: { (request, writer: consuming ResponseWriter, stream) in
                let admission = drain.admit(deadline: .now + requestTimeout)
                if let admission { Self.keep(admission, until: stream) }
                let response = await answer(request, peer, admission)
                try await writer.write(response: response.head, body: response.body)
                // After the answer: clients drop a request whose new connection begins with a goodbye.
                if admission == nil, let connection = stream.parent {
                    connection.pipeline.fireUserInboundEventTriggered(DrainBegan())
                }
            },
            configuration: .init(
                idleTimeout: idleTimeout, gracefulCloseTimeout: requestTimeout,
                streamConfiguration: .init(
                    additionalChannelHandlers: [Self.stalledReaderLimit(limits, isStream: true)],
                    idleTimeout: .seconds(idle))))
    }

    private static func stalledReaderLimit(
        _ limits: GatewayLimits, isStream: Bool
    ) -> StalledReaderLimit {
        let refusals = limits.refusals
        return StalledReaderLimit(limits.stalledReader, isStream: isStream) {
            refusals.count(.stalledReader)
        }
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        let peer = limits.connections.open(channel)
        drain.opened(channel)
        return channel.eventLoop.makeCompletedFuture {
            let pipeline = channel.pipeline.syncOperations
            try pipeline.addHandler(NIOSSLServerHandler(context: identity.context(for: door)))
            try pipeline.addHandler(CloseAfterFlush(patience: TimeAmount(requestTimeout)))
            try pipeline.addHandler(HandshakeLimit())
            let negotiation = NIOTypedApplicationProtocolNegotiationHandler<Negotiated> {
                self.goOn(with: $0, on: channel, peer, logger)
            }
            try pipeline.addHandler(negotiation)
            return Value(channel: channel, negotiated: negotiation.protocolNegotiationResult)
        }
    }

    private func goOn(
        with result: ALPNResult, on channel: any Channel, _ peer: Peer, _ logger: Logger
    ) -> EventLoopFuture<Negotiated> {
        if identity.asksClients(at: door) {
            let shown = try? channel.pipeline.syncOperations.nioSSL_peerCertificate()
            let certificate = shown.flatMap { ClientCertificate($0) }
            guard certificate != nil || door != .administrators else {
                channel.close(promise: nil)
                return channel.eventLoop.makeFailedFuture(NIOSSLError.noCertificateToValidate)
            }
            peer.show(certificate)
        }
        if case .negotiated("h2") = result {
            let http2 = http2(peer)
            return http2.setup(channel: channel, logger: logger).flatMapThrowing { value in
                let pipeline = channel.pipeline.syncOperations
                let frames = try pipeline.handler(type: NIOHTTP2Handler.self)
                try pipeline.addHandler(
                    GoodbyeLimit(TimeAmount(requestTimeout)), position: .after(frames))
                return .http2(http2, value)
            }
        }
        return channel.eventLoop.makeCompletedFuture {
            let pipeline = channel.pipeline.syncOperations
            try pipeline.configureHTTPServerPipeline(
                withPipeliningAssistance: true, withErrorHandling: false,
                withOutboundHeaderValidation: false)
            try pipeline.addHandler(OldClients())
            try pipeline.addHandler(HTTP1ToHTTPServerCodec(secure: true))
            try pipeline.addHandler(Self.stalledReaderLimit(limits, isStream: false))
            try pipeline.addHandler(
                HTTPConnectionStateHandler(idleTimeout: idleTimeout, logger: logger))
            try pipeline.addHandler(
                HTTP1Handler(
                    idleTimeout: TimeAmount(idleTimeout), requestTimeout: requestTimeout,
                    drain: drain, peer: peer, answer: answer))
            return .http1
        }
    }

    /// Keeps an admission until the stream's last frame has gone out. What waits for news hears of
    /// the end of a stream, or of its connection.
    private static func keep(_ admission: Drain.Admission, until stream: any Channel) {
        stream.closeFuture.whenComplete { _ in
            admission.clientIs(.gone)
            guard admission.isDraining, let connection = stream.parent else { return }
            connection.eventLoop.execute {
                let pipeline = connection.pipeline.syncOperations
                guard let handler = try? pipeline.handler(type: CloseAfterFlush.self),
                    let context = try? pipeline.context(handler: handler)
                else { return }
                handler.whenGone(context) { withExtendedLifetime(admission) {} }
            }
        }
    }

    /// Short steps, each in a function of its own: what this task has once needed for its stack it keeps.
    func handle(value: Value, logger: Logger) async {
        switch try? await value.negotiated.get() {
        case .http1: await Self.wait(for: value.channel)
        case .some(let negotiated): await handle(negotiated, logger)
        case nil: logger.debug("a connection ended before it was agreed how to speak on it")
        }
    }

    @inline(never)
    private static func wait(for channel: any Channel) async {
        await withTaskCancellationHandler {
            try? await channel.closeFuture.get()
        } onCancel: {
            channel.close(promise: nil)
        }
    }

    @inline(never)
    private func handle(_ negotiated: Negotiated, _ logger: Logger) async {
        guard case .http2(let http2, let connection) = negotiated else { return }
        await http2.handle(value: connection, logger: logger)
    }
}
