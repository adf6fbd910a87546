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
    /// How old the catalog in memory is.
    package func reportAge(to registry: MetricsRegistry) {
        registry.value(
            "oversync_catalog_age_seconds", "Time since the registered tables were last read"
        ) { [weak self] in self?.age?.seconds }
    }

    /// Counts what is wrong with registered tables, by table and kind.
    package func reportFlaws(to registry: MetricsRegistry) {
        registry.gauge(
            "oversync_table_flaws",
            "Registered tables that are not wholly synced, by what is wrong",
            labels: ["table", "kind"]
        ) { [weak self] in
            (self?.flaws ?? []).map { flaw in
                (["table": "\(flaw.table)", "kind": flaw.kind.rawValue], 1)
            }
        }
    }
}
