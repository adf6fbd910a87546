import NIOCore
import ServiceLifecycle

/// A connection of a server, as its own task sees it.
struct ServerConnection: Sendable {
    private let channel: any Channel
    private let handler: NIOLoopBound<RPCServerHandler>
    private let finished: EventLoopFuture<Void>

    /// Called on the channel's event loop.
    init(channel: any Channel, shared: RPCServerShared, peer: PeerCredentials) throws {
        let promise = channel.eventLoop.makePromise(of: Void.self)
        let handler = RPCServerHandler(shared: shared, peer: peer, finished: promise)
        do {
            // While a client does not take its answers, it gets no new ones: clients always read,
            // so the two cannot wait for each other.
            try channel.pipeline.syncOperations.addHandlers(BackPressureHandler(), handler)
        } catch {
            promise.fail(error)
            throw error
        }
        self.channel = channel
        self.handler = NIOLoopBound(handler, eventLoop: channel.eventLoop)
        finished = promise.futureResult
    }

    /// Returns when the client has closed the connection and every handler has returned. Graceful
    /// shutdown asks the client to close; cancellation closes.
    func run() async {
        await withTaskCancellationHandler {
            await withGracefulShutdownHandler {
                // Never fails once the handler is in place.
                try? await finished.get()
            } onGracefulShutdown: {
                handler.eventLoop.execute { handler.value.goAway() }
            }
        } onCancel: {
            handler.eventLoop.execute { handler.value.close() }
        }
    }
}
