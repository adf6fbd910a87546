import Protos
import Telemetry
import TestCollector
import Testing

@testable import OTLP

/// Metrics on their way to a collector, over real sockets.
@Suite("Metrics sent to a collector", .timeLimit(.minutes(1)))
struct MetricsPushTests {
    private func metrics(_ request: TestCollector.Request) -> [String: OTLPMetric] {
        let all = request.resourceMetrics.flatMap { $0.scopeMetrics.flatMap(\.metrics) }
        return Dictionary(all.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    @Test func `numbers are those since the start, and say since when`() async throws {
        try await TestCollector.with { collector in
            let export = try Export(port: collector.port)
            let counter = export.registry.counter("seen_total", "Things seen", labels: ["kind"])
            let sizes = export.registry.histogram("size_bytes", "Sizes", buckets: [1, 2])
            export.registry.value("level", "A level") { 1.5 }
            export.registry.value("absent", "Nothing") { nil }
            export.registry.counter("read_total", "Of somebody else") { [(.none, 7)] }
            counter.add(2, ["kind": "a"])
            for size in [0.5, 1, 2, 3, 4] { sizes.observe(size) }
            try await running(export.numbers) {
                let begun = await collector.requests { !$0.isEmpty }
                let first = try #require(begun.first)
                #expect(first.path == "/v1/metrics")
                counter.add(3, ["kind": "a"])
                let sent = collector.requests.count
                let later = await collector.requests { $0.count > sent + 1 }
                let last = try #require(later.last)
                let (before, after) = (metrics(first), metrics(last))
                let (old, new) = (try point(before), try point(after))
                #expect(old.asInt == 2 && new.asInt == 5)
                #expect(old.startTimeUnixNano == new.startTimeUnixNano)
                #expect(old.startTimeUnixNano <= old.timeUnixNano)
                #expect(old.timeUnixNano < new.timeUnixNano)
                let labels = new.attributes.map { "\($0.key)=\($0.value.stringValue)" }
                #expect(labels == ["kind=a"])
                let sum = try #require(after["seen_total"]).sum
                #expect(sum.isMonotonic && sum.aggregationTemporality == .cumulative)
                try expectHistogram(try #require(after["size_bytes"]))
                let level = try #require(after["level"]?.gauge.dataPoints.first)
                #expect(level.asDouble == 1.5 && level.startTimeUnixNano == 0)
                #expect(after["read_total"]?.sum.dataPoints.first?.asDouble == 7)
                #expect(after["absent"] == nil)
                // The registry's own names and texts; the unit is in the name.
                #expect(after["level"]?.description_p == "A level" && after["level"]?.unit == "")
            }
        }
    }

    private func point(_ metrics: [String: OTLPMetric]) throws -> OTLPNumberDataPoint {
        try #require(metrics["seen_total"]?.sum.dataPoints.first)
    }

    private func expectHistogram(_ metric: OTLPMetric) throws {
        let point = try #require(metric.histogram.dataPoints.first)
        #expect(metric.histogram.aggregationTemporality == .cumulative)
        #expect(point.explicitBounds == [1, 2] && point.bucketCounts == [2, 1, 2])
        #expect(point.count == 5 && point.sum == 10.5 && point.startTimeUnixNano > 0)
    }

    @Test func `a collector that is away misses some numbers and no growth`() async throws {
        let trouble: [TestCollector.Answer] = [.status(503), .nonsense, .silent, .status(400)]
        try await TestCollector.with(trouble) { collector in
            let export = try Export(port: collector.port, ["OTEL_EXPORTER_OTLP_TIMEOUT": "50"])
            let counter = export.registry.counter("seen_total", "Things seen")
            try await running(export.numbers) {
                counter.add()
                _ = await collector.requests { $0.count > trouble.count }
            }
            // The last numbers are sent when the process ends.
            let last = try #require(collector.requests.last)
            #expect(metrics(last)["seen_total"]?.sum.dataPoints.first?.asInt == 1)
        }
    }
}
