import Testing

@testable import Telemetry

/// The text that Prometheus reads.
struct MetricsTests {
    @Test func `what has no labels begins at zero, so that the first event is a growth`() {
        let registry = MetricsRegistry()
        let seen = registry.counter("seen_total", "Things seen")
        _ = registry.counter("kinds_total", "By kind", labels: ["kind"], known: [["kind": "a"]])
        _ = registry.histogram("size_bytes", "Sizes", buckets: [1, 2])
        #expect(
            registry.rendered() == """
                # HELP seen_total Things seen
                # TYPE seen_total counter
                seen_total 0
                # HELP kinds_total By kind
                # TYPE kinds_total counter
                kinds_total{kind="a"} 0
                # HELP size_bytes Sizes
                # TYPE size_bytes histogram
                size_bytes_bucket{le="1.0"} 0
                size_bytes_bucket{le="2.0"} 0
                size_bytes_bucket{le="+Inf"} 0
                size_bytes_sum 0.0
                size_bytes_count 0

                """)
        seen.add()
        #expect(registry.rendered().contains("seen_total 1\n"))
        #expect(registry.declared["kinds_total"] == ["kind"])
    }

    @Test func `buckets count what is at most their bound, each with those below it`() {
        let registry = MetricsRegistry()
        let sizes = registry.histogram("size_bytes", "Sizes", labels: ["of"], buckets: [1, 2])
        for size in [0.5, 1, 2, 3] { sizes.observe(size, ["of": "a"]) }
        let lines = registry.rendered().split(separator: "\n").dropFirst(2)
        #expect(
            lines == [
                #"size_bytes_bucket{of="a",le="1.0"} 2"#, #"size_bytes_bucket{of="a",le="2.0"} 3"#,
                #"size_bytes_bucket{of="a",le="+Inf"} 4"#, #"size_bytes_sum{of="a"} 6.5"#,
                #"size_bytes_count{of="a"} 4"#,
            ])
    }

    /// A quantile within a bucket is interpolated: a bucket that is wide makes it a guess.
    @Test func `buckets of durations are narrow enough for p50, p90 and p99`() {
        for (bound, next) in zip(Histogram.seconds, Histogram.seconds.dropFirst())
        where next <= 5 {
            #expect(next / bound < 1.7, "\(bound) to \(next)")
        }
        // The limits of the objectives in Deploy/observability/alerts.yml.
        for limit in [0.5, 1] { #expect(Histogram.seconds.contains(limit)) }
    }

    @Test func `what is read at the scrape may be a counter, a gauge, or nothing yet`() {
        let registry = MetricsRegistry()
        registry.counter("read_total", "Read elsewhere") { [(.none, 7)] }
        registry.value("age_seconds", "An age") { nil }
        registry.gauge("flaw", "Flaws", labels: ["table"]) { [(["table": "a\"b\\c\nd"], 1)] }
        #expect(
            registry.rendered() == #"""
                # HELP read_total Read elsewhere
                # TYPE read_total counter
                read_total 7.0
                # HELP age_seconds An age
                # TYPE age_seconds gauge
                # HELP flaw Flaws
                # TYPE flaw gauge
                flaw{table="a\"b\\c\nd"} 1.0

                """#)
    }

    @Test func `a label takes so many values, and all others are one`() {
        let label = BoundedLabel(limit: 2)
        #expect(
            ["a", "b", "c", "a", "d", "b"].map(label.value) == [
                "a", "b", "other", "a", "other", "b",
            ])
    }
}
