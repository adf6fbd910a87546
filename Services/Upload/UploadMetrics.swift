import Model
import Sidecar
import Telemetry

/// What uploads came to, as metrics.
struct UploadMetrics: Sendable {
    private let changes: Counter
    private let conflicts: Counter
    private let materializeErrors: Counter
    private let duplicates: Counter
    private let failures: Counter
    private let holes: Counter
    private let retries: Counter
    private let duration: Histogram
    private let size: Histogram
    private let tables = BoundedLabel()

    init(_ registry: MetricsRegistry) {
        changes = registry.counter(
            "oversync_upload_changes_total", "Changes by outcome, and by reason where refused",
            labels: ["outcome", "reason"],
            known: Self.outcomes)
        conflicts = registry.counter(
            "oversync_upload_conflicts_total",
            "Changes of rows that are at another version than the device edited, by table",
            labels: ["table"])
        materializeErrors = registry.counter(
            "oversync_upload_materialize_errors_total",
            "Changes that a business table did not take, by table", labels: ["table"])
        duplicates = registry.counter(
            "oversync_upload_duplicates_total", "Changes that the log had already")
        failures = registry.counter(
            "oversync_upload_failures_total", "Uploads that could not be answered")
        holes = registry.counter(
            "oversync_upload_holes_total",
            "Uploads of devices that know a change which the log lacks")
        retries = registry.counter(
            "oversync_upload_retried_failures_total",
            "Refused changes that an administrator had tried again, by outcome",
            labels: ["outcome"])
        duration = registry.histogram(
            "oversync_upload_duration_seconds", "Uploads, from bytes to answer",
            labels: ["outcome"], known: [Self.answered, Self.failed])
        size = registry.histogram(
            "oversync_upload_batch_changes", "Changes in one upload", buckets: Histogram.rows)
    }

    func count(_ result: UploadResult, of batch: UploadBatch, after time: Duration) {
        var tally: [MetricLabels: Int] = [:]
        for outcome in result.outcomes { tally[labels(outcome), default: 0] += 1 }
        for (labels, number) in tally { changes.add(number, labels) }
        if tally.keys.contains(where: { $0 != Self.applied }) { countTables(result, of: batch) }
        duplicates.add(result.duplicates)
        size.observe(Double(result.outcomes.count))
        duration.observe(time, Self.answered)
    }

    /// A batch whose outcomes are not all `applied`, by table.
    private func countTables(_ result: UploadResult, of batch: UploadBatch) {
        for change in batch.changes where result.outcomes.indices.contains(change.index) {
            let counter: Counter
            switch result.outcomes[change.index] {
            case .conflict: counter = conflicts
            case .materializeError: counter = materializeErrors
            case .applied, .invalid, .aborted: continue
            }
            let table = batch.schema.tables[change.table].registered.name
            counter.add(1, ["table": tables.value("\(table)")])
        }
    }

    func countFailure(after time: Duration) {
        failures.add()
        duration.observe(time, Self.failed)
    }

    func countHole() { holes.add() }

    /// - Parameter outcome: what became of it; nil: it could not be tried.
    func countRetry(_ outcome: ChangeVerdict?) {
        retries.add(1, ["outcome": outcome?.status ?? "failed"])
    }

    private static let outcomes: [MetricLabels] =
        MetricLabels.each("outcome", ["applied", "conflict", "materialize_error", "aborted"])
        + Rejection.Reason.allCases.map { reason -> MetricLabels in
            ["outcome": "invalid", "reason": reason.rawValue]
        }
    private static let applied: MetricLabels = ["outcome": "applied"]
    private static let answered: MetricLabels = ["outcome": "answered"]
    private static let failed: MetricLabels = ["outcome": "failed"]

    private func labels(_ outcome: ChangeVerdict) -> MetricLabels {
        switch outcome {
        case .applied: Self.applied
        case .invalid(let refusal):
            ["outcome": outcome.status, "reason": refusal.reason.rawValue]
        default: ["outcome": outcome.status]
        }
    }
}

/// Transactions of uploads that did not come to their end at the first attempt, as a metric.
struct UploadAttempts: Sendable {
    /// Why there was another one.
    enum Cause: String, CaseIterable {
        /// A table or column had changed since the catalog was read.
        case schema
        /// A parent table could not be read.
        case parents
        /// A row was refused: those that can be written are found and written.
        case row
        /// PostgreSQL's session ended while rows were written.
        case session
        /// Another transaction was faster, or the connection broke.
        case trouble
    }

    private let counter: Counter

    init(_ registry: MetricsRegistry) {
        counter = registry.counter(
            "oversync_upload_second_attempts_total",
            "Transactions of uploads that were repeated, by cause", labels: ["cause"],
            known: MetricLabels.each("cause", Cause.allCases.map(\.rawValue)))
    }

    func count(_ cause: Cause) { counter.add(1, ["cause": cause.rawValue]) }
}
