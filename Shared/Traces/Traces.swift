import Synchronization
import Tracing

/// How our code makes spans.
///
/// Without a tracer, and for a request that is not sampled, it costs one look: at a flag where a
/// request arrives, at the task's context elsewhere. No name is put together, nothing is allocated.
package enum Traces {
    private static let isOn = Atomic(false)
    private static let tracer = Mutex<RequestTracer?>(nil)

    /// Makes the process's tracer known, to libraries too. Once, before it serves.
    package static func start(_ new: RequestTracer) {
        tracer.withLock { $0 = new }
        InstrumentationSystem.bootstrap(new)
        isOn.store(true, ordering: .releasing)
    }

    /// Whether this process collects spans at all.
    package static var areCollected: Bool { isOn.load(ordering: .acquiring) }

    /// Begins the span of a request that came from outside.
    ///
    /// - Parameter caller: what the request says of its place.
    /// - Returns: nil if the request is not sampled.
    package static func begin(
        _ name: @autoclosure () -> String, from caller: TraceContext?
    ) -> LiveSpan? {
        guard areCollected, let tracer = tracer.withLock({ $0 }) else { return nil }
        return tracer.begin(name(), from: caller).map { LiveSpan(span: $0) }
    }

    /// Begins the span of a call from another process of ours, if the caller's trace is sampled.
    package static func `continue`(
        _ name: @autoclosure () -> String, from caller: TraceContext?
    ) -> LiveSpan? {
        guard let caller, caller.isSampled else { return nil }
        return begin(name(), from: caller)
    }

    /// Begins a span below the task's.
    ///
    /// - Returns: nil if the task works for no request that is sampled.
    package static func child(
        _ name: @autoclosure () -> String, _ kind: LiveSpan.Kind = .internal
    ) -> LiveSpan? {
        guard let context = ServiceContext.current, context.trace != nil else { return nil }
        return child(name(), kind, of: context)
    }

    /// Begins a span below one that another task has begun.
    package static func child(
        _ name: @autoclosure () -> String, below parent: TraceContext
    ) -> LiveSpan? {
        guard parent.isSampled else { return nil }
        var context = ServiceContext.topLevel
        context.trace = parent
        return child(name(), .internal, of: context)
    }

    private static func child(
        _ name: String, _ kind: LiveSpan.Kind, of context: ServiceContext
    ) -> LiveSpan? {
        let tracer = InstrumentationSystem.tracer
        let span: any Tracing.Span = tracer.startSpan(
            name, context: context, ofKind: kind == .client ? .client : .internal)
        return span.isRecording ? LiveSpan(span: span) : nil
    }

    /// The trace that the task works for, if it is sampled.
    package static var current: TraceContext? { ServiceContext.current?.trace }
}

/// A span that lasts. Its attributes are a program's own words and numbers: no user, no token, no
/// content of a row.
package struct LiveSpan: Sendable {
    package enum Kind: Sendable {
        /// Waits for another process.
        case client
        case `internal`
    }

    let span: any Tracing.Span

    /// What its own calls say of their place.
    package var trace: TraceContext? { span.context.trace }

    /// Runs what happens in the span: spans that it begins are below this one.
    package func run<Value>(
        isolation: isolated (any Actor)? = #isolation, _ body: () async throws -> Value
    ) async rethrows -> Value {
        try await ServiceContext.withValue(span.context, operation: body)
    }

    package func set(_ key: String, _ value: String) { span.attributes[key] = value }
    package func set(_ key: String, _ value: Int) { span.attributes[key] = value }
    package func set(_ key: String, _ values: [String]) { span.attributes[key] = values }

    /// Names another trace that had a part in it.
    package func link(to other: TraceContext) {
        var context = ServiceContext.topLevel
        context.trace = other
        span.addLink(SpanLink(context: context, attributes: [:]))
    }

    /// Says why it has not gone well.
    ///
    /// - Parameters:
    ///   - code: one of few: a code of ours, or an SQLSTATE.
    ///   - isFault: whether it is the server's, and not the caller's.
    package func fail(_ code: String, isFault: Bool = true) {
        span.attributes["error.type"] = code
        if isFault { span.setStatus(SpanStatus(code: .error)) }
    }

    package func end() { span.end() }
}
