import HTTPTypes
import Telemetry

/// The gateway's own metrics of its requests.
struct GatewayMetrics: Sendable {
    /// The codes of errors by which a device learns that its history is not the server's.
    private static let codes: Set = [
        "checkpoint_ahead", "epoch_changed", "history_forked", "history_pruned",
        "history_unproven",
    ]

    private let requests: Histogram
    private let histories: Counter

    init(_ registry: MetricsRegistry) {
        histories = registry.counter(
            "oversync_gateway_histories_total",
            "Answers that a device's history is not the server's, by code", labels: ["code"],
            known: MetricLabels.each("code", Self.codes))
        requests = registry.histogram(
            "oversync_gateway_request_seconds",
            "Requests by method, route and status, without the wait for news",
            labels: ["method", "route", "status"])
    }

    /// An unknown method is a caller's invention: it must not make a label of its own.
    static func name(of method: HTTPRequest.Method) -> String {
        let isKnown = method == .get || method == .post || method == .head
        return isKnown ? method.rawValue : "other"
    }

    /// Counts an error, if it says that a device's history is not the server's.
    func count(_ error: WireError) {
        guard Self.codes.contains(error.code) else { return }
        histories.add(1, ["code": error.code])
    }

    /// - Parameter standing: what a device was answered of the history that it knows, such as
    ///   `forked`; empty if it did not ask.
    func count(standing: String) {
        let code = "history_" + standing
        guard Self.codes.contains(code) else { return }
        histories.add(1, ["code": code])
    }

    func count(
        _ method: HTTPRequest.Method, _ path: String, _ status: HTTPResponse.Status,
        after time: Duration
    ) {
        requests.observe(
            time,
            [
                "method": Self.name(of: method), "route": path,
                "status": String(status.code),
            ])
    }
}

/// Counts what limits refuse and end.
struct GatewayRefusals: Sendable {
    /// Causes that have no error code.
    enum Reason: String, CaseIterable {
        /// A new connection, because no open connection was silent.
        case connection
        /// A silent connection, closed for a new one.
        case silentConnection = "silent_connection"
        /// An answer that its client does not take.
        case stalledReader = "stalled_reader"
        /// A device's oldest watch, ended for its newest.
        case replacedWatch = "replaced_watch"
        /// The same for long polls.
        case replacedPoll = "replaced_poll"
    }

    /// The codes of errors by which a limit refuses a request.
    private static let codes: Set = [
        "overloaded", "rate_limited", "share_used_up", "too_many_rejections", "too_many_waiting",
        "too_many_watchers",
    ]

    private let counter: Counter

    init(_ registry: MetricsRegistry) {
        counter = registry.counter(
            "oversync_gateway_refused_total",
            "Requests, connections, streams and watches that a limit refused or ended, by reason",
            labels: ["reason"],
            known: MetricLabels.each("reason", Self.codes)
                + MetricLabels.each("reason", Reason.allCases.map(\.rawValue)))
    }

    func count(_ reason: Reason) { counter.add(1, ["reason": reason.rawValue]) }

    /// Counts a refused request, if a limit refused it.
    func count(_ error: WireError) {
        guard Self.codes.contains(error.code) else { return }
        counter.add(1, ["reason": error.code])
    }
}
