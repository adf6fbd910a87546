import Model
import Telemetry

/// What uploads came to, as metrics.
struct UploadMetrics: Sendable {
    private let changes: Counter
    private let duplicates: Counter
    private let failures: Counter
    private let holes: Counter
    private let duration: Histogram
    private let size: Histogram

    init(_ registry: MetricsRegistry) {
        changes = registry.counter(
            "oversync_upload_changes_total", "Changes by outcome, and by reason where refused")
        duplicates = registry.counter(
            "oversync_upload_duplicates_total", "Changes that the log had already")
        failures = registry.counter(
            "oversync_upload_failures_total", "Uploads that could not be answered")
        holes = registry.counter(
            "oversync_upload_holes_total",
            "Uploads of devices that know a change which the log lacks")
        duration = registry.histogram(
            "oversync_upload_duration_seconds", "Uploads, from bytes to answer")
        size = registry.histogram(
            "oversync_upload_batch_changes", "Changes in one upload", buckets: Histogram.rows)
    }

    func count(_ result: UploadResult, after time: Duration) {
        for outcome in result.outcomes { changes.add(1, labels(outcome)) }
        duplicates.add(result.duplicates)
        size.observe(Double(result.outcomes.count))
        duration.observe(time, ["outcome": "answered"])
    }

    func countFailure(after time: Duration) {
        failures.add()
        duration.observe(time, ["outcome": "failed"])
    }

    func countHole() { holes.add() }

    private func labels(_ outcome: ChangeVerdict) -> MetricLabels {
        if case .invalid(let refusal) = outcome {
            return ["outcome": outcome.status, "reason": refusal.reason.rawValue]
        }
        return ["outcome": outcome.status]
    }
}
