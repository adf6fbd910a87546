import CoreMetrics
import Telemetry
import Testing

@testable import LibraryMetrics

/// What a library measures with swift-metrics' own types, in the text of `/metrics`.
struct LibraryMetricsTests {
    private typealias Counter = CoreMetrics.Counter

    private let registry = MetricsRegistry()

    private var factory: LibraryMetricsFactory { LibraryMetricsFactory(registry) }

    /// The lines of a name, without the comments.
    private func lines(_ prefix: String) -> [String] {
        registry.rendered().split(separator: "\n").filter { $0.hasPrefix(prefix) }.map(String.init)
    }

    @Test func `each kind becomes Prometheus' kind, under a valid name`() {
        let factory = factory
        let counter = Counter(
            label: "http.requests", dimensions: [("http.method", "GET")], factory: factory)
        counter.increment(by: 2)
        counter.increment()
        FloatingPointCounter(label: "joules", factory: factory).increment(by: 0.5)
        let meter = Meter(label: "pool-size", factory: factory)
        meter.set(5)
        meter.decrement(by: 2)
        Gauge(label: "depth", factory: factory).record(7)
        CoreMetrics.Timer(label: "dns.lookup", factory: factory).recordMilliseconds(2)
        Recorder(label: "sizes", factory: factory).record(5)
        #expect(lines("library_http") == [#"library_http_requests_total{http_method="GET"} 3.0"#])
        #expect(lines("library_joules") == ["library_joules_total 0.5"])
        #expect(lines("library_pool") == ["library_pool_size 3.0"])
        #expect(lines("library_depth") == ["library_depth 7.0"])
        let seconds = lines("library_dns_lookup_seconds")
        #expect(seconds.contains(#"library_dns_lookup_seconds_bucket{le="0.002"} 1"#))
        #expect(seconds.contains("library_dns_lookup_seconds_count 1"))
        let sizes = lines("library_sizes")
        #expect(sizes.contains(#"library_sizes_bucket{le="4.0"} 0"#))
        #expect(sizes.contains(#"library_sizes_bucket{le="16.0"} 1"#))
        let types = lines("# TYPE library_")
        #expect(types.contains("# TYPE library_http_requests_total counter"))
        #expect(types.contains("# TYPE library_pool_size gauge"))
        #expect(types.contains("# TYPE library_dns_lookup_seconds histogram"))
        #expect(lines("oversync_library") == ["oversync_library_metrics_dropped_total 0"])
    }

    @Test func `the same name and labels are the same series, in any order`() {
        let factory = factory
        for dimensions in [[("a", "1"), ("b", "2")], [("b", "2"), ("a", "1")]] {
            Counter(label: "n", dimensions: dimensions, factory: factory).increment()
        }
        #expect(lines("library_n") == [#"library_n_total{a="1",b="2"} 2.0"#])
    }

    @Test func `labels that Prometheus keeps for itself get another name`() {
        let dimensions = [("le", "1"), ("__name__", "x"), ("1st", "y"), ("ü", "z\"\n")]
        Counter(label: "weird name!", dimensions: dimensions, factory: factory).increment()
        #expect(
            lines("library_weird") == [
                #"library_weird_name__total{_1st="y",___="z\"\n",___name__="x",_le="1"} 1.0"#
            ])
    }

    @Test func `names and labels are bounded, and what is beyond is counted`() {
        let factory = factory
        for number in 0..<(LibraryMetricsFactory.maximumSeries + 5) {
            Counter(label: "n", dimensions: [("user", "\(number)")], factory: factory).increment()
        }
        #expect(lines("library_n_total").count == LibraryMetricsFactory.maximumSeries)
        for number in 1..<(LibraryMetricsFactory.maximumNames + 5) {
            Meter(label: "m\(number)", factory: factory).set(1)
        }
        #expect(lines("# TYPE library_").count == LibraryMetricsFactory.maximumNames)
        // Another kind or other labels of a name that is there.
        Counter(label: "n", dimensions: [("device", "1")], factory: factory).increment()
        Recorder(label: "m1", factory: factory).record(1)
        Recorder(label: "m1", factory: factory).record(Double.nan)
        #expect(lines("oversync_library") == ["oversync_library_metrics_dropped_total 13"])
    }

    @Test func `a gauge that is destroyed leaves no value, and makes room`() {
        let factory = factory
        for number in 0..<(3 * LibraryMetricsFactory.maximumSeries) {
            let meter = Meter(label: "m", dimensions: [("n", "\(number)")], factory: factory)
            meter.set(1)
            meter.destroy()
        }
        #expect(lines("library_m").isEmpty)
        #expect(lines("oversync_library") == ["oversync_library_metrics_dropped_total 0"])
    }
}
