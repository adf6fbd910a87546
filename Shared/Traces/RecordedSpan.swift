import Synchronization
import Tracing

/// A span while it lasts.
package final class RecordedSpan: Tracing.Span {
    /// What a span holds at most; the rest is counted.
    static let maximumAttributes = 32
    static let maximumLinks = 32
    static let maximumEvents = 8
    /// Longest text of an attribute, in bytes. Longer ones are cut.
    static let maximumTextBytes = 256
    /// Most elements of an attribute that is a list.
    static let maximumElements = 64

    private struct State {
        var name: String
        var attributes: SpanAttributes = [:]
        var links: [TraceContext] = []
        var events: [FinishedSpan.Event] = []
        var dropped = (links: 0, events: 0)
        var hasFailed: Bool?
        var isEnded = false
    }

    package let context: ServiceContext
    private let trace: TraceContext?
    private let parent: SpanID?
    private let isParentRemote: Bool
    private let kind: SpanKind
    private let start: UInt64
    /// Nil: nobody collects the span.
    private let sink: (any SpanSink)?
    private let state: Mutex<State>

    /// A span in a trace that is collected.
    init(
        _ name: String, _ trace: TraceContext, kind: SpanKind, in context: ServiceContext,
        parent: SpanID?, isParentRemote: Bool, start: UInt64, sink: any SpanSink
    ) {
        var context = context
        context.trace = trace
        self.context = context
        self.trace = trace
        self.parent = parent
        self.isParentRemote = isParentRemote
        self.kind = kind
        self.start = start
        self.sink = sink
        state = Mutex(State(name: name))
    }

    /// What a library gets that asks for a span where no trace is.
    init(unrecorded context: ServiceContext) {
        self.context = context
        trace = nil
        parent = nil
        isParentRemote = false
        kind = .internal
        start = 0
        sink = nil
        state = Mutex(State(name: ""))
    }

    package var isRecording: Bool { sink != nil && !state.withLock { $0.isEnded } }

    package var operationName: String {
        get { state.withLock { $0.name } }
        set { change { $0.name = newValue } }
    }

    package var attributes: SpanAttributes {
        get { state.withLock { $0.attributes } }
        set { change { $0.attributes = newValue } }
    }

    /// Without its message, which may hold anything.
    package func setStatus(_ status: SpanStatus) {
        change { $0.hasFailed = status.code == .error }
    }

    /// Without its attributes, which may hold anything.
    package func addEvent(_ event: SpanEvent) {
        add(FinishedSpan.Event(name: event.name, time: event.nanosecondsSinceEpoch, attributes: []))
    }

    /// The error's type alone: its text may hold anything.
    package func recordError<Instant: TracerInstant>(
        _ error: any Error, attributes: SpanAttributes, at instant: @autoclosure () -> Instant
    ) {
        add(
            FinishedSpan.Event(
                name: "exception", time: instant().nanosecondsSinceEpoch,
                attributes: [.init(key: "exception.type", value: .text("\(type(of: error))"))]))
    }

    package func addLink(_ link: SpanLink) {
        guard let trace = link.context.trace else { return }
        change { state in
            guard state.links.count < Self.maximumLinks else { return state.dropped.links += 1 }
            state.links.append(trace)
        }
    }

    /// The first call counts.
    package func end<Instant: TracerInstant>(at instant: @autoclosure () -> Instant) {
        guard let sink, let trace else { return }
        let now = instant().nanosecondsSinceEpoch
        let ended: State? = state.withLock { state in
            guard !state.isEnded else { return nil }
            state.isEnded = true
            return state
        }
        guard let ended else { return }
        let (attributes, dropped) = Self.bounded(ended.attributes)
        sink.take(
            FinishedSpan(
                context: trace, parent: parent, isParentRemote: isParentRemote, name: ended.name,
                // A clock that was set back meanwhile must not make a span of negative length.
                kind: kind.finished, start: start, end: max(start, now), attributes: attributes,
                links: ended.links, events: ended.events,
                dropped: (dropped, ended.dropped.links, ended.dropped.events),
                hasFailed: ended.hasFailed))
    }

    private func add(_ event: FinishedSpan.Event) {
        change { state in
            guard state.events.count < Self.maximumEvents else { return state.dropped.events += 1 }
            state.events.append(event)
        }
    }

    private func change(_ body: (inout State) -> Void) {
        guard sink != nil else { return }
        state.withLock { state in
            if !state.isEnded { body(&state) }
        }
    }

    /// In the order of their names, so that the same span always reads alike.
    private static func bounded(
        _ attributes: SpanAttributes
    ) -> (kept: [FinishedSpan.Attribute], dropped: Int) {
        var all: [FinishedSpan.Attribute] = []
        all.reserveCapacity(attributes.count)
        attributes.forEach { key, value in
            if let value = value.finished { all.append(.init(key: key, value: value)) }
        }
        all.sort { $0.key < $1.key }
        return (Array(all.prefix(maximumAttributes)), max(0, all.count - maximumAttributes))
    }
}

extension SpanKind {
    fileprivate var finished: FinishedSpan.Kind {
        switch self {
        case .server: .server
        case .client: .client
        case .producer: .producer
        case .consumer: .consumer
        case .internal: .internal
        }
    }
}

extension SpanAttribute {
    /// Within the bounds.
    fileprivate var finished: FinishedSpan.Value? {
        switch self {
        case .string(let text): .text(Self.cut(text))
        case .stringConvertible(let value): .text(Self.cut("\(value)"))
        case .int32(let number): .integer(Int64(number))
        case .int64(let number): .integer(number)
        case .double(let number): .number(number)
        case .bool(let flag): .flag(flag)
        case .stringArray(let texts): Self.list(texts) { .text(Self.cut($0)) }
        case .stringConvertibleArray(let values): Self.list(values) { .text(Self.cut("\($0)")) }
        case .int32Array(let numbers): Self.list(numbers) { .integer(Int64($0)) }
        case .int64Array(let numbers): Self.list(numbers) { .integer($0) }
        case .doubleArray(let numbers): Self.list(numbers) { .number($0) }
        case .boolArray(let flags): Self.list(flags) { .flag($0) }
        default: nil
        }
    }

    private static func list<Element>(
        _ elements: [Element], _ value: (Element) -> FinishedSpan.Value
    ) -> FinishedSpan.Value {
        .list(elements.prefix(RecordedSpan.maximumElements).map(value))
    }

    private static func cut(_ text: String) -> String {
        guard text.utf8.count > RecordedSpan.maximumTextBytes else { return text }
        var bytes = 0
        let kept = text.unicodeScalars.prefix {
            bytes += Unicode.UTF8.width($0)
            return bytes <= RecordedSpan.maximumTextBytes
        }
        return String(kept)
    }
}
