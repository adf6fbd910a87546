import Tracing

/// Makes the spans of this process, for our own code and for libraries that use the facade.
///
/// Only a request from outside begins a trace: ``begin(_:from:)``. Everything else is a span of the
/// trace that its task belongs to, or none.
package struct RequestTracer: Tracer {
    package let sampler: TraceSampler
    private let sink: any SpanSink

    package init(_ sampler: TraceSampler, sink: any SpanSink) {
        self.sampler = sampler
        self.sink = sink
    }

    /// Begins the span of a request that came from outside, if it is sampled.
    ///
    /// - Parameter caller: what the request says of its place.
    func begin(_ name: String, from caller: TraceContext?) -> RecordedSpan? {
        guard let caller else { return beginTrace(name) }
        guard sampler.samples(caller) else { return nil }
        return span(name, under: caller, kind: .server, in: .topLevel, isParentRemote: true)
    }

    private func beginTrace(_ name: String) -> RecordedSpan? {
        // No numbers are drawn for what nobody collects.
        if case .never = sampler.rule { return nil }
        let id = TraceID.random()
        guard sampler.samples(id) else { return nil }
        return RecordedSpan(
            name, TraceContext(traceID: id, spanID: .random(), isSampled: true), kind: .server,
            in: .topLevel, parent: nil, isParentRemote: false,
            start: DefaultTracerClock.now.nanosecondsSinceEpoch, sink: sink)
    }

    private func span(
        _ name: String, under parent: TraceContext, kind: SpanKind, in context: ServiceContext,
        isParentRemote: Bool, start: UInt64 = DefaultTracerClock.now.nanosecondsSinceEpoch
    ) -> RecordedSpan {
        var trace = parent
        trace.spanID = .random()
        trace.isSampled = true
        return RecordedSpan(
            name, trace, kind: kind, in: context, parent: parent.spanID,
            isParentRemote: isParentRemote, start: start, sink: sink)
    }

    package func startSpan<Instant: TracerInstant>(
        _ operationName: String, context: @autoclosure () -> InstrumentationContext,
        ofKind kind: SpanKind, at instant: @autoclosure () -> Instant, function: String,
        file fileID: String, line: UInt
    ) -> RecordedSpan {
        let context = context()
        guard let parent = context.trace, parent.isSampled else {
            return RecordedSpan(unrecorded: context)
        }
        return span(
            operationName, under: parent, kind: kind, in: context, isParentRemote: false,
            start: instant().nanosecondsSinceEpoch)
    }

    package func forceFlush() {}

    package func extract<Carrier, Extract: Extractor>(
        _ carrier: Carrier, into context: inout InstrumentationContext, using extractor: Extract
    ) where Extract.Carrier == Carrier {
        guard let text = extractor.extract(key: TraceField.parent, from: carrier) else { return }
        context.trace = TraceContext(
            traceparent: text, tracestate: extractor.extract(key: TraceField.state, from: carrier))
    }

    package func inject<Carrier, Inject: Injector>(
        _ context: InstrumentationContext, into carrier: inout Carrier, using injector: Inject
    ) where Inject.Carrier == Carrier {
        guard let trace = context.trace else { return }
        injector.inject(trace.traceparent, forKey: TraceField.parent, into: &carrier)
        guard let state = trace.state else { return }
        injector.inject(state, forKey: TraceField.state, into: &carrier)
    }
}

/// The names of the standard's header fields.
package enum TraceField {
    package static let parent = "traceparent"
    package static let state = "tracestate"
}

/// The trace that a task works for. Tasks of requests that nobody collects have none.
private enum TraceKey: ServiceContextKey {
    typealias Value = TraceContext
}

extension ServiceContext {
    var trace: TraceContext? {
        get { self[TraceKey.self] }
        set { self[TraceKey.self] = newValue }
    }
}
