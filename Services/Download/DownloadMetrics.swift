import NIOCore
import Telemetry

/// What downloads came to, as metrics.
struct DownloadMetrics: Sendable {
    private let rows: Counter
    private let pages: Counter
    private let idle: Counter
    private let failures: Counter
    private let holes: Counter
    private let digests: Counter
    private let rowsByKey: Counter
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
        digests = registry.counter(
            "oversync_download_digests_total", "Digests served, by what they are of")
        rowsByKey = registry.counter(
            "oversync_download_rows_by_key_total",
            "Rows that devices asked for by key: to repair those that differ, or to compare values")
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

    func count(_ part: DigestRequest.Part) {
        let name =
            switch part {
            case .tables: "tables"
            case .buckets: "parts"
            case .rows: "rows"
            }
        digests.add(1, ["of": name])
    }

    /// - Parameter compares: whether the device compares values; else the rows differ.
    func count(rowsByKey keys: Int, compares: Bool) {
        rowsByKey.add(keys, ["purpose": compares ? "compare" : "repair"])
    }

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
