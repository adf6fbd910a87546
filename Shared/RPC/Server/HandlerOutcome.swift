import NIOCore

/// What a handler came to.
struct HandlerOutcome: Sendable {
    var message = ByteBuffer()
    var body = ByteBuffer()
    var failure: RPCFailure?
}

extension RPCRouter.Handler {
    /// Runs the handler. An error that is no `RPCFailure` is logged and replaced: its text may
    /// hold what the caller must not see.
    func run(
        method: String, message: ByteBuffer, body: ByteBuffer, call: CallContext,
        parts: PartWriter, events: RPCEventSink
    ) async -> HandlerOutcome {
        do {
            switch self {
            case .single(let handle):
                let reply = try await handle(message, body, call)
                return HandlerOutcome(message: reply.message, body: reply.body)
            case .stream(let handle):
                try await handle(message, body, call, parts)
                return HandlerOutcome()
            }
        } catch let failure as RPCFailure {
            return HandlerOutcome(failure: failure)
        } catch is CancellationError {
            return HandlerOutcome(failure: .cancelled)
        } catch {
            events(.handlerFailed(method: method, requestID: call.requestID, error: error))
            return HandlerOutcome(failure: .internal)
        }
    }
}

extension RPCFailure {
    /// Another version of the service may know the method; this one does not.
    static func unknownMethod(_ name: String) -> RPCFailure {
        RPCFailure(.internal, code: "unknown_method", message: "Unknown method \(name)")
    }

    static let overloaded = RPCFailure(
        .unavailable, code: "overloaded", message: "Too many requests at once",
        retryAfter: .seconds(1))

    static let answerTooLarge = RPCFailure(
        .internal, code: "answer_too_large", message: "The answer is too large")
}
