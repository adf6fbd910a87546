import ServiceKit
import Sidecar

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
    /// The state of the catalog in memory, for ``remembered``.
    package static func state(of source: CatalogSource) -> @Sendable () -> [ReadinessProblem] {
        { source.problem().map { [$0.readiness] } ?? [] }
    }
}
