/// Rows of cells below titles, for a terminal or as Markdown.
struct TextTable: Sendable {
    let titles: [String]
    var rows: [[String]] = []

    /// With columns as wide as their widest cell.
    var aligned: String {
        let all = [titles] + rows
        let widths = titles.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { row in
            let cells = zip(row, widths).map { text, width in
                text + String(repeating: " ", count: width - text.count)
            }
            var line = cells.joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            return line + "\n"
        }.joined()
    }

    var markdown: String {
        let rule = titles.map { _ in "---" }
        return ([titles, rule] + rows).map { row in
            "| " + row.map { $0.replacing("|", with: "\\|") }.joined(separator: " | ") + " |\n"
        }.joined()
    }

    /// Settings as Markdown, by name.
    static func list(_ settings: [String: String]) -> String {
        settings.sorted { $0.key < $1.key }.map { "`\($0.key) = \($0.value)`" }
            .joined(separator: ", ")
    }
}
