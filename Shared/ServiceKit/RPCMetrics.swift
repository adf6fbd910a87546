import RPC
import Telemetry

/// What the RPC layer does, as metrics.
package struct RPCMetrics: RPCObserver {
    private let calls: Histogram
    private let replicasLost: Counter
    private let retries: Counter

    /// - Parameter service: the process's name, such as `oversync-upload`.
    package init(_ registry: MetricsRegistry, service: String) {
        let prefix = service.map { $0 == "-" ? "_" : String($0) }.joined() + "_rpc_"
        calls = registry.histogram(prefix + "seconds", "Calls by method, side and status")
        replicasLost = registry.counter(
            prefix + "replicas_lost_total", "Connections to replicas that broke")
        retries = registry.counter(prefix + "retries_total", "Calls repeated on another replica")
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
