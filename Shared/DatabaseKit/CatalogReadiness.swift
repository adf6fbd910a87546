import ServiceKit
import Sidecar
import Telemetry

extension CatalogSource.Problem {
    /// Without a catalog a service serves nothing; with an old one it serves what it knows.
    package var readiness: ReadinessProblem {
        switch self {
        case .unread: .blocking("\(self)")
        case .outdated: .degrading("\(self)")
        }
    }
}

extension DatabaseNeeds {
    /// The state of the catalog in memory, and what is wrong with registered tables, for
    /// ``remembered``.
    package static func state(of source: CatalogSource) -> @Sendable () -> [ReadinessProblem] {
        {
            let problem = source.problem().map { [$0.readiness] } ?? []
            return problem + source.flaws.map { .degrading("\($0)") }
        }
    }
}

extension CatalogSource {
    /// Counts what is wrong with registered tables, by table and kind.
    package func report(to registry: MetricsRegistry) {
        registry.gauge(
            "oversync_table_flaws", "Registered tables that are not wholly synced, by what is wrong"
        ) { [weak self] in
            (self?.flaws ?? []).map { flaw in
                (["table": "\(flaw.table)", "kind": flaw.kind.rawValue], 1)
            }
        }
    }
}
