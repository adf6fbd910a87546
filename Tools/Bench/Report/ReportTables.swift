/// A report as tables, for a terminal or for `Docs/performance.md`.
package struct ReportTables: Sendable {
    let report: BenchReport

    package init(_ report: BenchReport) { self.report = report }

    /// For a terminal.
    package var text: String {
        var text = report.machine.text + "\n"
        for table in [targets, costs] { text += "\n" + table.aligned }
        return text + "\n" + notes.map { "\($0)\n" }.joined()
    }

    /// For `Docs/performance.md`.
    package var markdown: String {
        var text = "\(report.machine.text)\n"
        text +=
            "Medians of \(report.rounds) measurements of \(Number.text(report.seconds)) s, in alternation with the floor.\n"
        text +=
            "PostgreSQL, ours and the floor's alike: \(TextTable.list(report.postgresSettings)).\n"
        if !report.settings.isEmpty { text += "Services: \(TextTable.list(report.settings)).\n" }
        for table in [targets, costs] { text += "\n" + table.markdown }
        return text + "\n" + notes.map { "- \($0)\n" }.joined()
    }

    private var targets: TextTable {
        TextTable(
            titles: ReportLine.titles.cells,
            rows: report.results.flatMap { ReportLine.lines($0).map(\.cells) })
    }

    /// Rates, latencies and what each process used.
    private var costs: TextTable {
        var table = TextTable(titles: [
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
}
