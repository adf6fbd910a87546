/// A report as tables, for a terminal or for `Docs/performance.md`.
package struct ReportTables: Sendable {
    let report: BenchReport

    package init(_ report: BenchReport) { self.report = report }

    private struct Table {
        let titles: [String]
        var rows: [[String]] = []
    }

    /// For a terminal.
    package var text: String {
        var text = report.machine.text + "\n"
        for table in [targets, costs] { text += "\n" + Self.aligned(table) }
        return text + "\n" + notes.map { "\($0)\n" }.joined()
    }

    /// For `Docs/performance.md`.
    package var markdown: String {
        var text = "\(report.machine.text)\n"
        text +=
            "Medians of \(report.rounds) measurements of \(Number.text(report.seconds)) s, in alternation with the floor.\n"
        text += "PostgreSQL, ours and the floor's alike: \(Self.list(report.postgresSettings)).\n"
        if !report.settings.isEmpty { text += "Services: \(Self.list(report.settings)).\n" }
        for table in [targets, costs] { text += "\n" + Self.markdown(table) }
        return text + "\n" + notes.map { "- \($0)\n" }.joined()
    }

    private static func list(_ settings: [String: String]) -> String {
        settings.sorted { $0.key < $1.key }.map { "`\($0.key) = \($0.value)`" }
            .joined(separator: ", ")
    }

    private var targets: Table {
        Table(
            titles: ReportLine.titles.cells,
            rows: report.results.flatMap { ReportLine.lines($0).map(\.cells) })
    }

    /// Rates, latencies and what each process used.
    private var costs: Table {
        var table = Table(titles: [
            "id", "rate", "p50 ms", "p99 ms", "CPU ms per 1000", "resident", "load's share",
        ])
        for result in report.results {
            let unit = result.hasRate ? result.unit : nil
            if let row = row(result.id, unit, result.ours) {
                table.rows.append(row + [result.generatorShare.map(Self.percent) ?? ""])
            }
            if let row = row(result.id + " (floor)", unit, result.floor) {
                table.rows.append(row + [""])
            }
        }
        return table
    }

    private func row(_ name: String, _ unit: String?, _ all: [Measurement]) -> [String]? {
        guard let rate = all.rate, let last = all.last else { return nil }
        let memory = last.usage.resident.filter { last.usage.seconds[$0.key] ?? 0 > 0 }
            .sorted { $0.value > $1.value }.map { "\($0.key) \(Number.megabytes($0.value))" }
        let costs = all.costs.map { "\($0.process) \(Number.text($0.milliseconds))" }
        return [
            name, unit.map { Number.text(rate) + " \($0)/s" } ?? "",
            all.latency.map { Number.text($0.p50) } ?? "",
            all.latency.map { Number.text($0.p99) } ?? "", costs.joined(separator: ", "),
            memory.joined(separator: ", "),
        ]
    }

    private var notes: [String] {
        report.results.flatMap { result in result.notes.map { "\(result.id): \($0)" } }
    }

    private static func percent(_ share: Double) -> String { Number.text(share * 100) + " %" }

    private static func aligned(_ table: Table) -> String {
        let all = [table.titles] + table.rows
        let widths = table.titles.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { row in
            let cells = zip(row, widths).map { text, width in
                text + String(repeating: " ", count: width - text.count)
            }
            var line = cells.joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            return line + "\n"
        }.joined()
    }

    private static func markdown(_ table: Table) -> String {
        let rule = table.titles.map { _ in "---" }
        return ([table.titles, rule] + table.rows).map { row in
            "| " + row.map { $0.replacing("|", with: "\\|") }.joined(separator: " | ") + " |\n"
        }.joined()
    }
}
