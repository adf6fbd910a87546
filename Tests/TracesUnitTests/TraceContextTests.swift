import Testing

@testable import Traces

/// Trace contexts as they come and go (W3C Trace Context).
struct TraceContextTests {
    private static let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    @Test func `a context is written as it was read`() throws {
        for flags in 0...3 {
            let text = Self.good.dropLast(2) + "0\(flags)"
            let context = try #require(TraceContext(traceparent: String(text)))
            #expect(context.traceparent == text)
            #expect(context.isSampled == (flags & 1 == 1))
        }
        let context = try #require(TraceContext(traceparent: Self.good))
        let (high, low) = (context.traceID.high, context.traceID.low)
        #expect(high == 0x4bf9_2f35_77b3_4da6 && low == 0xa3ce_929d_0e0e_4736)
        #expect(context.traceID.bytes.prefix(3) == [0x4b, 0xf9, 0x2f])
        #expect(context.spanID.bytes == [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7])
        #expect(context.sqlComment == "/*traceparent='\(Self.good)'*/")
    }

    @Test func `flags that this version does not know are not handed on`() {
        let text = String(Self.good.dropLast(2))
        #expect(TraceContext(traceparent: text + "ff")?.traceparent == text + "03")
    }

    @Test(arguments: [
        "", "00", "hello",
        // Numbers that are all zero name nothing.
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        // Capitals, other characters, too few and too many.
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-011",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
        // Two fields of the name, which HTTP joins.
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01, "
            + "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "0g-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473é-0f067aa0ba902b7-01",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-"
            + String(repeating: "a", count: 600),
    ])
    func `what is not written as the standard says is nobody's context`(_ text: String) {
        #expect(TraceContext(traceparent: text) == nil)
    }

    @Test func `of later versions the parts are read that this one knows`() {
        let later = "cc" + Self.good.dropFirst(2)
        #expect(TraceContext(traceparent: later)?.traceparent == Self.good)
        #expect(
            TraceContext(traceparent: later + "-what.the.future-holds")?.traceparent == Self.good)
    }

    @Test(arguments: [
        "a=1", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "a=1, b=2 ,\tc=3", "a=1,,b=2",
        "tenant@system=x", "0a-_*/=!~ x", String(repeating: "k", count: 256) + "=v",
    ])
    func `a list of states goes along as it came`(_ state: String) {
        #expect(TraceContext(traceparent: Self.good, tracestate: state)?.state == state)
    }

    @Test(arguments: [
        "", ",", "a", "=1", "a=", "a= ", "A=1", "a=1,a=2", "a=b=c", "a=\u{1}", "ä=1", "a=ä",
        "-a=1", String(repeating: "k", count: 257) + "=v",
        (0..<33).map { "k\($0)=v" }.joined(separator: ","),
        "a=" + String(repeating: "v", count: 257),
        (0..<32).map { "key-number-\($0)=\($0 + 1000)" }.joined(separator: ","),
    ])
    func `a list that is not written as the standard says is left out, the context is not`(
        _ state: String
    ) throws {
        let context = try #require(
            TraceContext(traceparent: Self.good, tracestate: state))
        #expect(context.state == nil && context.traceparent == Self.good)
    }
}

/// Which requests are sampled.
struct TraceSamplerTests {
    private func context(_ flags: String) throws -> TraceContext {
        try #require(
            TraceContext(
                traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-" + flags))
    }

    @Test func `samplers have the standard's names, and say them`() throws {
        for name in TraceSampler.names {
            let sampler = try #require(TraceSampler(named: name, share: 0.5))
            #expect(sampler.description == name)
        }
        #expect(TraceSampler(named: "sometimes", share: 0.5) == nil)
    }

    @Test func `a caller's decision holds for those that follow it, and for no others`() throws {
        let (wanted, unwanted) = (try context("01"), try context("00"))
        for rule in [TraceSampler.Rule.always, .never, .share(0)] {
            let follows = TraceSampler(rule, followsCaller: true)
            #expect(follows.samples(wanted) && !follows.samples(unwanted))
        }
        let all = TraceSampler(.always, followsCaller: false)
        let none = TraceSampler(.never, followsCaller: false)
        #expect(all.samples(unwanted) && !none.samples(wanted))
    }

    @Test func `a share goes by the id, so that all processes decide alike`() throws {
        let half = TraceSampler(.share(0.5), followsCaller: false)
        let low = try #require(TraceID(high: .max, low: .max / 4))
        let high = try #require(TraceID(high: 0, low: .max / 2 + 2))
        #expect(half.samples(low) && !half.samples(high))
        let everything = TraceSampler(.share(1), followsCaller: false)
        let nothing = TraceSampler(.share(0), followsCaller: false)
        let last = try #require(TraceID(high: 0, low: .max))
        let first = try #require(TraceID(high: 1, low: 0))
        #expect(everything.samples(last) && everything.samples(first))
        #expect(!nothing.samples(last) && !nothing.samples(first))
    }
}
