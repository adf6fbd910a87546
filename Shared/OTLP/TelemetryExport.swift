import ServiceKit
import ServiceLifecycle
import Traces

/// Sends a process's spans and metrics to a collector, where one is configured.
package enum TelemetryExport {
    /// Begins to collect, before the process serves.
    ///
    /// - Returns: what sends, to be run as services.
    package static func start(_ process: ServiceProcess) throws -> [any Service] {
        // Declared always: what is not configured has lost nothing.
        let metrics = ExportMetrics(process.metrics)
        let settings = try ExportSettings(process.configuration, program: process.name)
        var services: [any Service] = []
        if let url = settings.traces {
            let queue = SpanQueue(
                limit: settings.waiting, batch: settings.batch, metrics: metrics)
            Traces.start(RequestTracer(settings.traceSampler, sink: queue))
            services.append(
                SpanPush(
                    url: url, settings: settings, queue: queue, metrics: metrics,
                    logger: process.logger))
        }
        if let url = settings.metrics {
            services.append(
                MetricsPush(
                    url: url, settings: settings, registry: process.metrics, metrics: metrics,
                    logger: process.logger))
        }
        return services
    }
}
