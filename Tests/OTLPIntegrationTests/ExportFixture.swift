import Logging
import ServiceKit
import ServiceLifecycle
import Telemetry

@testable import OTLP
@testable import Traces

/// A logger that says nothing: what a test checks, it checks at the collector and in metrics.
let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// A process's exporter with its queue.
struct Export: Sendable {
    let registry = MetricsRegistry()
    let settings: ExportSettings
    let queue: SpanQueue
    let metrics: ExportMetrics

    /// - Parameter port: of a collector on this machine.
    init(port: Int, tls: Bool = false, _ more: [String: String] = [:]) throws {
        let environment = [
            "OTEL_EXPORTER_OTLP_ENDPOINT": "\(tls ? "https" : "http")://127.0.0.1:\(port)/",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "2000", "OTEL_BSP_SCHEDULE_DELAY": "10",
            "OTEL_METRIC_EXPORT_INTERVAL": "100", "OVERSYNC_REPLICA": "r1",
        ].merging(more) { $1 }
        settings = try ExportSettings(
            Configuration(environment: environment), program: "oversync-test")
        metrics = ExportMetrics(registry)
        queue = SpanQueue(limit: settings.waiting, batch: settings.batch, metrics: metrics)
    }

    var spans: SpanPush {
        SpanPush(
            url: settings.traces ?? "", settings: settings, queue: queue, metrics: metrics,
            logger: quiet)
    }

    var numbers: MetricsPush {
        MetricsPush(
            url: settings.metrics ?? "", settings: settings, registry: registry, metrics: metrics,
            logger: quiet)
    }

    /// The lines of `/metrics` that count lost spans, and are not 0.
    var lost: [String] {
        registry.rendered().split(separator: "\n").filter {
            $0.hasPrefix("oversync_otlp_lost_spans_total{") && !$0.hasSuffix(" 0")
        }.map(String.init)
    }

    /// Begins and ends this many spans of one trace.
    func finish(_ names: some Sequence<String>) {
        let tracer = RequestTracer(TraceSampler(.always, followsCaller: true), sink: queue)
        for name in names { tracer.begin(name, from: nil).map(LiveSpan.init)?.end() }
    }
}

/// Runs `body` with the service running, and then shuts it down.
func running(_ service: some Service, _ body: () async throws -> Void) async throws {
    let group = ServiceGroup(
        configuration: ServiceGroupConfiguration(
            services: [.init(service: service)], logger: quiet))
    async let running: Void = group.run()
    do {
        try await body()
    } catch {
        await group.triggerGracefulShutdown()
        try? await running
        throw error
    }
    await group.triggerGracefulShutdown()
    try await running
}
