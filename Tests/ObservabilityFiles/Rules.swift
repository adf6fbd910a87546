import Foundation
import Yams

/// A rule of `Deploy/observability/alerts.yml` that alerts.
package struct AlertRule: Sendable {
    package let name: String
    package let expression: String
    package let severity: String
    package let summary: String
    package let runbook: String
}

/// A rule that keeps what an expression gives under a name.
package struct RecordedRule: Sendable {
    package let name: String
    package let expression: String
}

/// `Deploy/observability/alerts.yml`.
package enum RuleFile {
    package static let path = "Deploy/observability/alerts.yml"
    /// Where the runbooks that alerts lead to are.
    package static let runbooks = "Docs/runbooks/"

    package static func alerts() throws -> [AlertRule] {
        try rules().compactMap { rule in
            guard let name = rule["alert"] as? String else { return nil }
            let labels = rule["labels"] as? [String: String] ?? [:]
            let notes = rule["annotations"] as? [String: String] ?? [:]
            return AlertRule(
                name: name, expression: rule["expr"] as? String ?? "",
                severity: labels["severity"] ?? "", summary: notes["summary"] ?? "",
                runbook: notes["runbook_url"] ?? "")
        }
    }

    package static func recorded() throws -> [RecordedRule] {
        try rules().compactMap { rule in
            (rule["record"] as? String).map {
                RecordedRule(name: $0, expression: rule["expr"] as? String ?? "")
            }
        }
    }

    private static func rules() throws -> [[String: Any]] {
        let file =
            try Yams.load(yaml: ObservabilityFiles.text(of: path)) as? [String: Any] ?? [:]
        let groups = file["groups"] as? [[String: Any]] ?? []
        return groups.flatMap { $0["rules"] as? [[String: Any]] ?? [] }
    }
}

/// Names in PromQL.
package enum PromQL {
    /// The metrics that an expression reads, those of recorded rules too.
    package static func metrics(in expression: String) -> Set<String> {
        let bare =
            expression
            .replacing(/"[^"]*"/, with: "")
            .replacing(/\{[^}]*\}/, with: " ")
            .replacing(/\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/, with: " ")
        let names = bare.matches(
            of: /\b(?:oversync_[a-z_]+|oversync:[a-z0-9_:]+|process_[a-z_]+|node_[a-z_]+|up)\b/)
        return Set(names.map { String($0.output) })
    }

    /// The metric that a series belongs to: a histogram's has a suffix.
    package static func base(of series: String, histograms: Set<String>) -> String {
        for suffix in ["_bucket", "_sum", "_count"] where series.hasSuffix(suffix) {
            let base = String(series.dropLast(suffix.count))
            if histograms.contains(base) { return base }
        }
        return series
    }
}
