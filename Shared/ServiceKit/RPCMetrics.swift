import RPC
import Telemetry

/// What the RPC layer does, as metrics.
package struct RPCMetrics: RPCObserver {
    private let calls: Histogram
    private let replicasLost: Counter
    private let retries: Counter

    package init(_ registry: MetricsRegistry) {
        calls = registry.histogram(
            "oversync_rpc_seconds",
            "Calls by method, side and status; those of PullChanges with the wait for news",
            labels: ["method", "side", "status"])
        replicasLost = registry.counter(
            "oversync_rpc_replicas_lost_total", "Connections to replicas that broke")
        retries = registry.counter(
            "oversync_rpc_retries_total", "Calls repeated on another replica")
    }

    package func observe(_ event: RPCEvent) {
        switch event {
        case .callHandled(let record): count(record, side: "server")
        case .callMade(let record): count(record, side: "client")
        case .replicaLost: replicasLost.add()
        case .callRetried: retries.add()
        default: break
        }
    }

    private func count(_ record: RPCCallRecord, side: String) {
        calls.observe(
            record.duration,
            ["method": record.method, "side": side, "status": record.status?.rawValue ?? "ok"])
    }
}
