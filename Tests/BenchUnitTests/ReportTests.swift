import Foundation
import FoundationXML
import Testing

@testable import Bench

@Suite struct ReportTests {
    static let machine = MachineDescription(
        date: "2026-01-01T00:00:00Z", cores: 2, processor: "a processor", memory: 8 << 30,
        kernel: "6.1", postgres: "15.1", swift: "Swift 6.3", commit: "abc", build: "release")

    private static func report(bottleneck: Bool = false) -> BenchReport {
        var result = ScenarioResult(UploadScenario.upload200)
        result.ours = [
            Measurement(
                units: 30_000, requests: 150, seconds: 1, latency: nil,
                usage: ProcessUsage(
                    seconds: ["upload": 0.3, "postgres": 0.6], resident: ["upload": 50 << 20]))
        ]
        result.floor = [Measurement(units: 50_000, requests: 250, seconds: 1, latency: nil)]
        result.judge("changes/s", result.ours.rate, to: result.floor.rate, .atLeast(0.55))
        result.judgements.append(.plain("a|b < c", 3, .atMost(2)))
        result.isGeneratorBottleneck = bottleneck
        return BenchReport(
            machine: machine, seconds: 5, rounds: 3, postgresSettings: ["fsync": "on"],
            results: [result])
    }

    @Test("The Markdown has a line for each judgement, and escapes what would end a cell")
    func markdown() {
        let text = ReportTables(Self.report()).markdown
        #expect(text.contains("| work | ours | floor | ratio | target | reached |\n| --- |"))
        #expect(
            text.contains(
                "| upload, 200 changes a request, 8 at once: changes/s | 30 000 | 50 000 | 0.60 | ≥ 0.55 | yes |"
            ))
        #expect(text.contains(#"a\|b < c | 3.00 |  |  | ≤ 2.00 | no |"#))
        #expect(text.contains("`fsync = on`"))
        #expect(text.contains("postgres 20.0, upload 10.0"))
        #expect(text.contains("upload 50.0 MB"))
    }

    @Test("The columns of the terminal's table are aligned")
    func text() throws {
        let lines = ReportTables(Self.report()).text.split(separator: "\n")
        let title = try #require(lines.first { $0.hasPrefix("work") })
        let line = try #require(lines.first { $0.contains("changes/s  30 000") })
        let place = try #require(title.range(of: "ours")).lowerBound.utf16Offset(in: title)
        #expect(line.utf16.dropFirst(place).starts(with: "30 000".utf16))
    }

    @Test("A scenario whose load was the bottleneck says so, and is named")
    func bottleneck() {
        let report = Self.report(bottleneck: true)
        #expect(report.bottlenecks == ["upload-200"])
        #expect(ReportTables(report).text.contains("(bottleneck: generator): changes/s"))
        #expect(Self.report().bottlenecks.isEmpty)
    }

    @Test("The plot is well-formed XML with a bar for each judgement that has a share")
    func plot() throws {
        let svg = ReportPlot(Self.report()).svg
        let counter = ElementCounter()
        let parser = XMLParser(data: Data(svg.utf8))
        parser.delegate = counter
        #expect(parser.parse())
        // The background, and two bars.
        #expect(counter.counts["rect"] == 3)
        #expect(counter.counts["line"] == 1)
    }

    @Test("The JSON holds every measurement and reads back the same")
    func json() throws {
        let data = try Self.report().json()
        let back = try JSONDecoder().decode(BenchReport.self, from: data)
        #expect(back.results[0].ours[0].units == 30_000)
        #expect(back.machine == Self.machine)
        #expect(try back.json() == data)
    }

    @Test(
        "Numbers show three digits that count, or are whole with groups of three",
        arguments: [
            (0.556, "0.56"), (12.34, "12.3"), (999.6, "1 000"), (1_234_567, "1 234 567"),
            (-1234, "-1 234"),
        ])
    func numbers(_ number: Double, _ text: String) {
        #expect(Number.text(number) == text)
    }
}

private final class ElementCounter: NSObject, XMLParserDelegate {
    var counts: [String: Int] = [:]

    func parser(
        _ parser: XMLParser, didStartElement name: String, namespaceURI: String?,
        qualifiedName: String?, attributes: [String: String]
    ) {
        counts[name, default: 0] += 1
    }
}
