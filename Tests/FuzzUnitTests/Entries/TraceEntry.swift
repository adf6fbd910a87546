import Traces

extension FuzzEntry {
    /// Where a client says that it is within a trace: `traceparent`, a line feed, `tracestate`.
    static let traces = FuzzEntry(
        "traces", mostBytes: 1200,
        now: { bytes in
            let text = String(decoding: bytes, as: UTF8.self)
            let parts = text.split(separator: "\n", maxSplits: 1, omittingEmptySubsequences: false)
            let state = parts.count > 1 ? String(parts[1]) : nil
            guard let context = TraceContext(traceparent: String(parts[0]), tracestate: state)
            else { return }
            let written = context.traceparent
            try hold(written.utf8.count == 55, "what goes on has the standard's length")
            let again = TraceContext(traceparent: written, tracestate: context.state)
            try hold(again == context, "what is written is read again")
            try hold(context.state?.utf8.count ?? 0 <= 512, "a state is bounded")
            // It stands in SQL.
            let isPlain = written.utf8.allSatisfy {
                $0 == UInt8(ascii: "-") || $0 &- UInt8(ascii: "0") < 10
                    || $0 &- UInt8(ascii: "a") < 6
            }
            try hold(isPlain, "what goes into a comment ends none")
        })
}
