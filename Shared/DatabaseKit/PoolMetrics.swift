import Postgres
import Telemetry

/// What a pool does, as metrics.
struct PoolMetrics: PoolObserver {
    private let prefix: String
    private let wait: Histogram
    private let opened: Counter
    private let failed: Counter
    private let refused: Counter
    private let lost: Counter

    /// - Parameter service: the process's name, such as `oversync-upload`.
    init(_ registry: MetricsRegistry, service: String) {
        prefix = service.map { $0 == "-" ? "_" : String($0) }.joined() + "_pool_"
        wait = registry.histogram(prefix + "wait_seconds", "Time callers waited for a connection")
        opened = registry.counter(prefix + "connections_opened_total", "Connections opened")
        failed = registry.counter(
            prefix + "connection_failures_total", "Attempts to connect that failed")
        refused = registry.counter(prefix + "refused_total", "Callers that got no connection")
        lost = registry.counter(prefix + "connections_lost_total", "Connections that broke")
    }

    func watch(_ pool: PostgresPool, in registry: MetricsRegistry) {
        registry.gauge(prefix + "connections", "Connections by state, and callers waiting") {
            [weak pool] in
            guard let statistics = pool?.statistics else { return [] }
            return [
                (["state": "idle"], Double(statistics.idle)),
                (["state": "in_use"], Double(statistics.inUse)),
                (["state": "connecting"], Double(statistics.connecting)),
                (["state": "waiting"], Double(statistics.waiting)),
                (["state": "maximum"], Double(statistics.maximum)),
            ]
        }
    }

    func poolDid(_ event: PoolEvent) {
        switch event {
        case .opened: opened.add()
        case .openFailed: failed.add()
        case .acquired(let duration): wait.observe(duration)
        case .refused: refused.add()
        case .lost: lost.add()
        case .rolledBack, .closed: break
        }
    }
}
