import Telemetry

/// Counts what is sent to the collector, and what is lost on the way.
struct ExportMetrics: Sendable {
    enum Signal: String, CaseIterable, Sendable {
        case traces, metrics
    }

    /// Why spans were lost.
    enum Loss: String, CaseIterable, Sendable {
        /// As many waited as may.
        case queueFull = "queue_full"
        /// The collector did not answer, or asked for patience, for too long.
        case unavailable
        /// It answered that it does not take the request.
        case refused
        /// It took the request without them.
        case rejected
    }

    private let losses: Counter
    private let requests: Counter

    init(_ registry: MetricsRegistry) {
        losses = registry.counter(
            "oversync_otlp_lost_spans_total", "Spans that did not reach the collector, by reason",
            labels: ["reason"], known: MetricLabels.each("reason", Loss.allCases.map(\.rawValue)))
        requests = registry.counter(
            "oversync_otlp_requests_total", "Requests to the collector by signal and outcome",
            labels: ["signal", "outcome"],
            known: Signal.allCases.flatMap { signal in
                ["taken", "failed"].map { ["signal": signal.rawValue, "outcome": $0] }
            })
    }

    func count(lost spans: Int, _ loss: Loss) { losses.add(spans, ["reason": loss.rawValue]) }

    /// Spans that were lost so far.
    func lost(_ loss: Loss) -> Int { losses.value(["reason": loss.rawValue]) }

    func count(_ signal: Signal, isTaken: Bool) {
        requests.add(1, ["signal": signal.rawValue, "outcome": isTaken ? "taken" : "failed"])
    }

    /// Requests that were taken so far.
    func taken(_ signal: Signal) -> Int {
        requests.value(["signal": signal.rawValue, "outcome": "taken"])
    }
}
