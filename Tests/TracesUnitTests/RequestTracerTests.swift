import Synchronization
import Testing
import Tracing

@testable import Traces

/// The spans of a process, made with our functions and with the facade's.
struct RequestTracerTests {
    /// What a tracer has handed on.
    private final class Finished: SpanSink {
        private let spans = Mutex<[FinishedSpan]>([])

        var all: [FinishedSpan] { spans.withLock { $0 } }

        func take(_ span: FinishedSpan) { spans.withLock { $0.append(span) } }
    }

    private static let caller = TraceContext(
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", tracestate: "a=1")

    private let finished = Finished()

    private func tracer(
        _ rule: TraceSampler.Rule = .always, followsCaller: Bool = true
    ) -> RequestTracer {
        RequestTracer(TraceSampler(rule, followsCaller: followsCaller), sink: finished)
    }

    private func within(_ tracer: RequestTracer, _ body: () async throws -> Void) async throws {
        let root = try #require(tracer.begin("root", from: Self.caller))
        try await withTracer(tracer) {
            try await LiveSpan(span: root).run { try await body() }
        }
        root.end()
    }

    @Test func `spans are below the one that their task is in, in the caller's trace`()
        async throws
    {
        let caller = try #require(Self.caller)
        try await within(tracer()) {
            let child = try #require(Traces.child("child", .client))
            let trace = try #require(child.trace)
            #expect(trace.traceID == caller.traceID && trace.state == "a=1" && trace.isSampled)
            await child.run { Traces.child("grandchild")?.end() }
            child.fail("23505")
            child.set("n", 5)
            child.end()
        }
        let all = finished.all
        #expect(all.map(\.name) == ["grandchild", "child", "root"])
        #expect(all.map(\.kind) == [.internal, .client, .server])
        #expect(all[0].parent == all[1].context.spanID && all[1].parent == all[2].context.spanID)
        #expect(all[2].parent == caller.spanID && all[2].isParentRemote)
        #expect(!all[1].isParentRemote && all[1].hasFailed == true && all[0].hasFailed == nil)
        #expect(
            all[1].attributes == [
                .init(key: "error.type", value: .text("23505")),
                .init(key: "n", value: .integer(5)),
            ])
        let areInOrder = all.allSatisfy {
            $0.end >= $0.start && $0.start > 1_600_000_000_000_000_000
        }
        #expect(areInOrder)
        #expect(Set(all.map(\.context.spanID)).count == 3)
    }

    @Test func `a library that uses the facade gets spans in the trace`() async throws {
        struct Private: Error, CustomStringConvertible { let description = "ann's row" }
        try await within(tracer()) {
            try? withSpan("library", ofKind: .producer) { span in
                span.attributes["text"] = "word"
                span.addEvent(SpanEvent(name: "seen", attributes: ["secret": "ann's row"]))
                throw Private()
            }
        }
        let library = try #require(finished.all.first)
        #expect(library.name == "library" && library.kind == .producer)
        #expect(library.parent == finished.all.last?.context.spanID)
        // What an error or an event says may be anything.
        #expect(library.events.map(\.name) == ["seen", "exception"])
        #expect(!"\(library)".contains("ann"))
    }

    @Test func `a task without a trace gets no spans, from nobody`() {
        withTracer(tracer()) {
            #expect(Traces.child("child") == nil && Traces.current == nil)
            withSpan("library") { span in #expect(!span.isRecording) }
        }
        #expect(finished.all.isEmpty)
    }

    @Test func `a request begins a trace where the sampler wants one`() throws {
        let caller = try #require(Self.caller)
        let begun = try #require(tracer().begin("a", from: nil))
        begun.end()
        begun.end()
        #expect(finished.all.count == 1)
        let span = finished.all[0]
        #expect(span.parent == nil && !span.isParentRemote && span.context.isSampled)
        #expect(tracer(.never).begin("a", from: nil) == nil)
        #expect(tracer(.share(0)).begin("a", from: nil) == nil)
        var unwanted = caller
        unwanted.isSampled = false
        #expect(tracer().begin("a", from: unwanted) == nil)
        #expect(tracer(.never).begin("a", from: caller) != nil)
        #expect(tracer(.never, followsCaller: false).begin("a", from: caller) == nil)
        let insisting = tracer(followsCaller: false).begin("a", from: unwanted)
        #expect(insisting?.context.trace?.isSampled == true)
    }

    @Test func `a span holds so much and no more, and counts the rest`() async throws {
        let long = String(repeating: "ä", count: 1000)
        try await within(tracer()) {
            let span = try #require(Traces.child("child"))
            for number in 0..<100 {
                span.set("key\(number)", long)
                span.link(to: try #require(Self.caller))
                span.span.addEvent("event")
            }
            span.set("a list", Array(repeating: long, count: 1000))
            span.end()
            // Over is over.
            span.set("late", 1)
        }
        let span = try #require(finished.all.first)
        #expect(span.attributes.count == 32 && span.dropped.attributes == 101 - 32)
        #expect(span.links.count == 32 && span.dropped.links == 68)
        #expect(span.events.count == 8 && span.dropped.events == 92)
        guard case .list(let texts)? = span.attributes.first?.value,
            case .text(let text)? = span.attributes.last?.value
        else { return #expect(Bool(false), "\(span.attributes)") }
        #expect(texts.count == 64 && text.utf8.count == 256)
    }

    @Test func `carriers get the trace, and give it`() async throws {
        struct Fields: Injector, Extractor {
            func inject(_ value: String, forKey key: String, into carrier: inout [String: String]) {
                carrier[key] = value
            }
            func extract(key: String, from carrier: [String: String]) -> String? { carrier[key] }
        }
        var context = ServiceContext.topLevel
        context.trace = Self.caller
        var fields: [String: String] = [:]
        tracer().inject(context, into: &fields, using: Fields())
        #expect(fields == ["traceparent": Self.caller?.traceparent ?? "", "tracestate": "a=1"])
        var read = ServiceContext.topLevel
        tracer().extract(fields, into: &read, using: Fields())
        #expect(read.trace == Self.caller)
        var nothing: [String: String] = [:]
        tracer().inject(.topLevel, into: &nothing, using: Fields())
        #expect(nothing.isEmpty)
    }
}
