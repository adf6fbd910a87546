import Postgres
import Telemetry

/// What a pool does, as metrics.
struct PoolMetrics: PoolObserver {
    private let wait: Histogram
    private let opened: Counter
    private let failed: Counter
    private let refused: Counter
    private let lost: Counter

    init(_ registry: MetricsRegistry) {
        wait = registry.histogram(
            "oversync_pool_wait_seconds", "Time callers waited for a connection")
        opened = registry.counter(
            "oversync_pool_connections_opened_total", "Connections opened")
        failed = registry.counter(
            "oversync_pool_connection_failures_total", "Attempts to connect that failed")
        refused = registry.counter(
            "oversync_pool_refused_total", "Callers that got no connection")
        lost = registry.counter("oversync_pool_connections_lost_total", "Connections that broke")
    }

    func watch(_ pool: PostgresPool, in registry: MetricsRegistry) {
        registry.gauge("oversync_pool_connections", "Connections by state", labels: ["state"]) {
            [weak pool] in
            guard let statistics = pool?.statistics else { return [] }
            return [
                (["state": "idle"], Double(statistics.idle)),
                (["state": "in_use"], Double(statistics.inUse)),
                (["state": "connecting"], Double(statistics.connecting)),
            ]
        }
        registry.value("oversync_pool_max_connections", "Connections that may be open at once") {
            [weak pool] in pool.map { Double($0.statistics.maximum) }
        }
        registry.value("oversync_pool_waiting", "Callers that wait for a connection") {
            [weak pool] in pool.map { Double($0.statistics.waiting) }
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
