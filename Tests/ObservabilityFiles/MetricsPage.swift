import Foundation

/// The files of this repository that tests of metrics, alerts and dashboards read.
package enum ObservabilityFiles {
    package static let root = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()
    package static let folder = root.appending(path: "Deploy/observability")

    package static func text(of path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }
}

/// A line of a table of `Docs/metrics.md`.
package struct DescribedMetric: Hashable, Sendable {
    package let name: String
    package let type: String
    package let unit: String
    package let labels: Set<String>
    /// Who has it: `gateway`, `auth`, `upload`, `download`, or another exporter.
    package let processes: Set<String>
    package let meaning: String
}

/// `Docs/metrics.md`.
package enum MetricsPage {
    package static let path = "Docs/metrics.md"
    /// What `all` stands for.
    package static let services: Set<String> = ["gateway", "auth", "upload", "download"]

    package static func rows() throws -> [DescribedMetric] {
        try ObservabilityFiles.text(of: path).split(separator: "\n").compactMap { line in
            guard line.hasPrefix("| `") else { return nil }
            let cells = line.dropFirst().dropLast().components(separatedBy: " | ").map {
                $0.trimmingCharacters(in: CharacterSet(charactersIn: " |"))
            }
            guard cells.count == 6 else { return nil }
            func list(_ cell: String) -> Set<String> {
                let items = cell.replacing("`", with: "").components(separatedBy: ", ")
                return Set(items.filter { !$0.isEmpty && $0 != "–" })
            }
            let processes = list(cells[4])
            return DescribedMetric(
                name: cells[0].replacing("`", with: ""), type: cells[1], unit: cells[2],
                labels: list(cells[3]), processes: processes == ["all"] ? services : processes,
                meaning: cells[5])
        }
    }
}
