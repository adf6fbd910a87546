import Foundation

/// Everything a run has seen.
package struct BenchReport: Codable, Sendable {
    let machine: MachineDescription
    /// Seconds of one measurement, and how many of each there are.
    let seconds: Double
    let rounds: Int
    /// What both PostgreSQL databases run with, beyond PostgreSQL's defaults.
    let postgresSettings: [String: String]
    /// Settings of the services that were tried.
    var settings: [String: String] = [:]
    var results: [ScenarioResult] = []

    /// The scenarios whose load was the bottleneck.
    package var bottlenecks: [String] { results.filter(\.isGeneratorBottleneck).map(\.id) }

    /// What was not reached, with its scenario.
    package var missed: [String] {
        results.flatMap { result in
            result.judgements.filter { !$0.isReached }.map { "\(result.id): \($0.what)" }
        }
    }

    package func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self)
    }
}

/// One line of a table: a judgement, or a scenario that has none.
struct ReportLine: Hashable, Sendable {
    let work: String
    let ours: String
    let floor: String
    let ratio: String
    let target: String
    let reached: String

    static let titles = ReportLine(
        work: "work", ours: "ours", floor: "floor", ratio: "ratio", target: "target",
        reached: "reached")

    var cells: [String] { [work, ours, floor, ratio, target, reached] }

    static func lines(_ result: ScenarioResult) -> [ReportLine] {
        let mark = result.isGeneratorBottleneck ? " (bottleneck: generator)" : ""
        guard !result.judgements.isEmpty else {
            let rate = result.ours.rate.map { Number.text($0) + " \(result.unit)/s" } ?? "see below"
            return [
                ReportLine(
                    work: result.work + mark, ours: rate, floor: "", ratio: "", target: "",
                    reached: "")
            ]
        }
        return result.judgements.map { line($0, result.work + mark) }
    }

    private static func line(_ judgement: Judgement, _ work: String) -> ReportLine {
        ReportLine(
            work: "\(work): \(judgement.what)", ours: Number.text(judgement.ours),
            floor: judgement.floor.map(Number.text) ?? "",
            ratio: judgement.comparison, target: judgement.bound.text,
            reached: judgement.isReached ? "yes" : "no")
    }
}

extension Judgement {
    /// The ratio to the floor or the difference from it; empty where there is no floor.
    var comparison: String {
        switch form {
        case .ratio: Number.text(value)
        case .difference: (value < 0 ? "" : "+") + Number.text(value)
        case .plain: ""
        }
    }
}

extension Judgement.Bound {
    var text: String {
        switch self {
        case .atLeast(let least): "≥ \(Number.text(least))"
        case .atMost(let most): "≤ \(Number.text(most))"
        }
    }
}

/// Numbers for people: three digits that count, or whole.
enum Number {
    static func text(_ number: Double) -> String {
        let size = abs(number)
        if size >= 100 { return grouped(Int(number.rounded())) }
        if size >= 10 { return String(format: "%.1f", number) }
        return String(format: "%.2f", number)
    }

    static func megabytes(_ bytes: Int) -> String { text(Double(bytes) / 1_048_576) + " MB" }

    private static func grouped(_ number: Int) -> String {
        let digits = String(abs(number))
        var text = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { text += " " }
            text.append(digit)
        }
        return number < 0 ? "-" + text : text
    }
}
