import NIOCore
import Telemetry

/// What downloads came to, as metrics.
struct DownloadMetrics: Sendable {
    /// Bounds for the time from a commit to its delivery, in seconds: 1 ms to 5 min.
    private static let lags: [Double] = [
        0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2,
        0.3, 0.5, 0.75, 1, 1.5, 2, 5, 10, 30, 60, 300,
    ]

    private let rows: Counter
    private let pages: Counter
    private let idle: Counter
    private let failures: Counter
    private let holes: Counter
    private let digests: Counter
    private let rowsByKey: Counter
    private let duration: Histogram
    private let waits: Histogram
    private let lag: Histogram
    private let pageRows: Histogram
    private let pageBytes: Histogram

    init(_ registry: MetricsRegistry) {
        rows = registry.counter("oversync_download_rows_total", "Changes served")
        pages = registry.counter(
            "oversync_download_pages_total",
            "Pages served, without those that had nothing new, by whether more follow",
            labels: ["has_more"], known: [Self.more, Self.last])
        idle = registry.counter(
            "oversync_download_idle_pages_total",
            "Pages that had nothing new, by whether the database was asked", labels: ["from"],
            known: [Self.memory, Self.database])
        failures = registry.counter("oversync_download_failures_total", "Downloads that failed")
        holes = registry.counter(
            "oversync_download_holes_total",
            "Pages for devices that know a change which the log lacks")
        digests = registry.counter(
            "oversync_download_digests_total", "Digests served, by what they are of",
            labels: ["of"], known: MetricLabels.each("of", ["tables", "parts", "rows"]))
        rowsByKey = registry.counter(
            "oversync_download_rows_by_key_total",
            "Rows that devices asked for by key: to repair those that differ, or to compare values",
            labels: ["purpose"], known: MetricLabels.each("purpose", ["repair", "compare"]))
        duration = registry.histogram(
            "oversync_download_duration_seconds",
            "Downloads from request to page, without the wait for news", labels: ["outcome"],
            known: [Self.answered, Self.failed])
        waits = registry.histogram(
            "oversync_download_wait_seconds",
            "Time for which downloads waited for news, by whether some came", labels: ["ended"],
            known: [Self.news, Self.timeOver])
        lag = registry.histogram(
            "oversync_download_delivery_lag_seconds",
            "Time from a change to the page or event that brings it to a device that waits for it",
            labels: ["by"], known: [Self.byPage, Self.byEvent], buckets: Self.lags)
        pageRows = registry.histogram(
            "oversync_download_page_rows", "Changes in one page", buckets: Histogram.rows)
        pageBytes = registry.histogram(
            "oversync_download_page_bytes", "Bytes of one page", buckets: Histogram.bytes)
    }

    /// - Parameter time: without the wait for news.
    func count(_ page: Page, after time: Duration) {
        duration.observe(time, Self.answered)
        guard !page.isIdle else {
            return idle.add(1, page.isFromMemory ? Self.memory : Self.database)
        }
        rows.add(page.rows)
        pages.add(1, page.hasMore ? Self.more : Self.last)
        pageRows.observe(Double(page.rows))
        pageBytes.observe(Double(page.body.readableBytes))
    }

    /// - Parameter change: the first that came; nil if the time was over before any did.
    func count(wait time: Duration, for change: CommitTime?) {
        waits.observe(time, change == nil ? Self.timeOver : Self.news)
        if let change { lag.observe(change.age(), Self.byPage) }
    }

    /// An event told of a change.
    func count(eventFor change: CommitTime) { lag.observe(change.age(), Self.byEvent) }

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
        duration.observe(time, Self.failed)
    }

    private static let answered: MetricLabels = ["outcome": "answered"]
    private static let failed: MetricLabels = ["outcome": "failed"]
    private static let memory: MetricLabels = ["from": "memory"]
    private static let database: MetricLabels = ["from": "database"]
    private static let more: MetricLabels = ["has_more": "true"]
    private static let last: MetricLabels = ["has_more": "false"]
    private static let news: MetricLabels = ["ended": "news"]
    private static let timeOver: MetricLabels = ["ended": "time_over"]
    private static let byPage: MetricLabels = ["by": "page"]
    private static let byEvent: MetricLabels = ["by": "event"]
}

/// When a change was committed, by the clock of the machine that wrote it: the time of the
/// statement that did, where the database tells it.
struct CommitTime: Hashable, Sendable {
    /// Since 1970.
    let microseconds: Int64

    init(microseconds: Int64) { self.microseconds = microseconds }

    /// - Parameter postgres: since 2000, as PostgreSQL counts.
    init(postgres: Int64) {
        microseconds = postgres.addingReportingOverflow(WallClock.postgresEpoch).partialValue
    }

    /// Seconds since then; none where clocks differ and it lies in the future.
    func age(now: Int64 = WallClock.microseconds) -> Double {
        max(0, Double(now) - Double(microseconds)) / 1e6
    }
}

extension ScopeHeads {
    func report(to metrics: MetricsRegistry) {
        metrics.value("oversync_download_waiting", "Downloads and watches that wait for news") {
            Double(self.waiting)
        }
        metrics.value(
            "oversync_download_heads_age_seconds",
            "Time since the last sequences of all users that are followed were confirmed"
        ) { self.age?.seconds }
        metrics.counter(
            "oversync_download_head_readings_total",
            "Statements that asked for users' last sequences, by kind", labels: ["kind"]
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
