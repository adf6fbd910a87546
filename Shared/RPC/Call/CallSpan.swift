import NIOCore
import Traces

/// Spans of calls, at both ends.
extension Traces {
    /// The caller's end: from the wait for a replica to the answer, second attempts included.
    static func call(_ method: String) -> LiveSpan? {
        guard let span = child(method, .client) else { return nil }
        span.describe(method)
        return span
    }
}

extension CallContext {
    /// The same call as a span's.
    func within(_ span: LiveSpan?) -> CallContext {
        guard let trace = span?.trace else { return self }
        var context = self
        context.trace = trace
        return context
    }
}

extension LiveSpan {
    fileprivate func describe(_ method: String) {
        set("rpc.system", "oversync")
        set("rpc.method", method)
    }

    func fail(_ failure: RPCFailure) {
        let isFault =
            switch failure.status {
            case .internal, .unavailable, .deadlineExceeded: true
            default: false
            }
        fail(failure.code, isFault: isFault)
    }
}

extension RPCRouter.Handler {
    /// Runs the handler, in a span if its caller's trace is sampled. A stream has none: a watch
    /// lasts for days.
    func runTraced(
        method: String, message: ByteBuffer, body: ByteBuffer, call: CallContext,
        parts: PartWriter, events: RPCEventSink
    ) async -> HandlerOutcome {
        guard case .single = self, let span = Traces.continue(method, from: call.trace) else {
            return await run(
                method: method, message: message, body: body, call: call, parts: parts,
                events: events)
        }
        span.describe(method)
        let outcome = await span.run {
            await run(
                method: method, message: message, body: body, call: call, parts: parts,
                events: events)
        }
        if let failure = outcome.failure { span.fail(failure) }
        span.end()
        return outcome
    }
}
