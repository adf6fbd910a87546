import NIOCore
import Telemetry

/// What downloads came to, as metrics.
struct DownloadMetrics: Sendable {
    private let rows: Counter
    private let pages: Counter
    private let idle: Counter
    private let failures: Counter
    private let holes: Counter
    private let duration: Histogram
    private let pageRows: Histogram
    private let pageBytes: Histogram

    init(_ registry: MetricsRegistry) {
        rows = registry.counter("oversync_download_rows_total", "Changes served")
        pages = registry.counter(
            "oversync_download_pages_total", "Pages served, by whether more follow")
        idle = registry.counter(
            "oversync_download_idle_pages_total", "Empty pages served without the database")
        failures = registry.counter("oversync_download_failures_total", "Downloads that failed")
        holes = registry.counter(
            "oversync_download_holes_total",
            "Pages for devices that know a change which the log lacks")
        duration = registry.histogram(
            "oversync_download_duration_seconds", "Downloads, waiting for news included")
        pageRows = registry.histogram(
            "oversync_download_page_rows", "Changes in one page", buckets: Histogram.rows)
        pageBytes = registry.histogram(
            "oversync_download_page_bytes", "Bytes of one page", buckets: Histogram.bytes)
    }

    func count(_ page: Page, after time: Duration) {
        rows.add(page.rows)
        pages.add(1, ["has_more": page.hasMore ? "true" : "false"])
        pageRows.observe(Double(page.rows))
        pageBytes.observe(Double(page.body.readableBytes))
        duration.observe(time, ["outcome": "answered"])
    }

    func countIdle() { idle.add() }

    func countHole() { holes.add() }

    func countFailure(after time: Duration) {
        failures.add()
        duration.observe(time, ["outcome": "failed"])
    }
}

extension ScopeHeads {
    func report(to metrics: MetricsRegistry) {
        metrics.gauge("oversync_download_waiting", "Downloads waiting for news") {
            [(.none, Double(self.waiting))]
        }
        metrics.gauge(
            "oversync_download_head_readings",
            "Statements that asked for users' last sequences, by kind"
        ) {
            let readings = self.readings
            return [
                (["kind": "mark"], Double(readings.marks)),
                (["kind": "states"], Double(readings.states)),
                (["kind": "grown"], Double(readings.grown)),
            ]
        }
    }
}
