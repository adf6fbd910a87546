import Foundation

/// A report as an SVG picture: above, how far each target is reached; below, latencies.
package struct ReportPlot: Sendable {
    // All in pixels.
    private static let width = 960.0
    private static let labelWidth = 470.0
    private static let rowHeight = 22.0
    private static let titleHeight = 34.0
    private static let margin = 12.0
    /// Bars are cut there; 1 is the target.
    private static let longestShare = 2.0

    private struct Bar {
        let label: String
        /// 0 to 1 of the room there is.
        let length: Double
        let colour: String
        let value: String
    }

    private let shares: [Bar]
    private let latencies: [Bar]

    package init(_ report: BenchReport) {
        shares = report.results.flatMap(Self.shares)
        let measured = report.results.compactMap { result in
            result.ours.latency.map { (result.id, $0) }
        }
        let longest = measured.map(\.1.p99).max() ?? 1
        latencies = measured.flatMap { id, latency in
            [
                Self.latency(id + " p50", latency.p50, longest),
                Self.latency(id + " p99", latency.p99, longest),
            ]
        }
    }

    package var svg: String {
        var body = ""
        var y = Self.margin
        section("share of the target reached (line: the target)", shares, &y, &body, markAt: 0.5)
        section("latency, ms (logarithmic)", latencies, &y, &body, markAt: nil)
        let height = y + Self.margin
        return """
            <svg xmlns="http://www.w3.org/2000/svg" width="\(Int(Self.width))" height="\(Int(height))" \
            font-family="sans-serif" font-size="12">
            <rect width="100%" height="100%" fill="white"/>
            \(body)</svg>

            """
    }

    private static func shares(_ result: ScenarioResult) -> [Bar] {
        result.judgements.compactMap { judgement in
            guard let share = judgement.shareOfBound else { return nil }
            return Bar(
                label: "\(result.id): \(judgement.what)",
                length: min(share, longestShare) / longestShare,
                colour: judgement.isReached ? "#2a9d5c" : "#d1603d", value: Number.text(share))
        }
    }

    private static func latency(_ label: String, _ value: Double, _ longest: Double) -> Bar {
        // From 0.01 ms up to the longest.
        let least = 0.01
        let length = log(max(value, least) / least) / log(max(longest, least * 10) / least)
        return Bar(
            label: label, length: min(1, length), colour: "#4a7ebb", value: Number.text(value))
    }

    private func section(
        _ title: String, _ bars: [Bar], _ y: inout Double, _ body: inout String,
        markAt mark: Double?
    ) {
        let room = Self.width - Self.labelWidth - 80
        body += text(title, x: Self.margin, y: y + 20, extra: #" font-weight="bold""#)
        y += Self.titleHeight
        let top = y
        for bar in bars {
            body += text(
                bar.label, x: Self.labelWidth - 8, y: y + 15, extra: #" text-anchor="end""#)
            let length = max(1, bar.length * room)
            body += """
                <rect x="\(Int(Self.labelWidth))" y="\(Int(y + 3))" width="\(Int(length))" \
                height="\(Int(Self.rowHeight - 6))" fill="\(bar.colour)"/>

                """
            body += text(bar.value, x: Self.labelWidth + length + 6, y: y + 15)
            y += Self.rowHeight
        }
        guard let mark, !bars.isEmpty else { return }
        let x = Int(Self.labelWidth + mark * room)
        body += """
            <line x1="\(x)" y1="\(Int(top))" x2="\(x)" y2="\(Int(y))" stroke="black"/>

            """
    }

    private func text(_ text: String, x: Double, y: Double, extra: String = "") -> String {
        let escaped = text.replacing("&", with: "&amp;").replacing("<", with: "&lt;")
        return "<text x=\"\(Int(x))\" y=\"\(Int(y))\"\(extra)>\(escaped)</text>\n"
    }
}
