import Foundation
import ObservabilityFiles
import Testing
import Yams

/// `Docs/metrics.md`, alerts, runbooks and dashboards, held against each other. `MetricsOnTheStack`
/// holds them against running processes and a real Prometheus.
struct ObservabilityTests {
    private static func described() throws -> [String: DescribedMetric] {
        let rows = try MetricsPage.rows()
        return Dictionary(rows.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// What of an expression is neither on the page nor recorded by a rule.
    private static func unknown(in expression: String) throws -> [String] {
        let page = try described()
        let histograms = Set(page.values.filter { $0.type == "histogram" }.map(\.name))
        let recorded = Set(try RuleFile.recorded().map(\.name))
        return PromQL.metrics(in: expression).filter {
            page[PromQL.base(of: $0, histograms: histograms)] == nil && !recorded.contains($0)
        }.sorted()
    }

    @Test func `the page says of each metric what it must`() throws {
        let rows = try MetricsPage.rows()
        #expect(rows.count > 90)
        #expect(Set(rows.map(\.name)).count == rows.count)
        for row in rows {
            #expect(["counter", "gauge", "histogram"].contains(row.type), "\(row.name)")
            #expect(!row.meaning.isEmpty && !row.processes.isEmpty, "\(row.name)")
            #expect((row.type == "counter") == row.name.hasSuffix("_total"), "\(row.name)")
            if row.name.contains("_seconds") {
                #expect(row.unit.hasPrefix("seconds"), "\(row.name)")
            }
            if row.name.contains("_bytes") { #expect(row.unit == "bytes", "\(row.name)") }
            #expect(
                row.labels.isDisjoint(with: ["user", "device", "source", "key"]), "\(row.name)")
        }
    }

    @Test func `every metric that a source declares is on the page, and no other`() throws {
        let sources = try Repository.texts(ofKinds: ["swift"], in: ["Services", "Shared"])
        var declared: Set<String> = []
        let name =
            /"((?:oversync_[a-z]+|process)_[a-z_]+|oversync_readiness)",?\s*\n?\s*"/
        for (_, text) in sources {
            declared.formUnion(text.matches(of: name).map { String($0.output.1) })
        }
        let page = Set(
            try Self.described().values.filter {
                $0.processes.isSubset(of: MetricsPage.services)
            }.map(\.name))
        #expect(declared.subtracting(page).sorted() == [])
        #expect(page.subtracting(declared).sorted() == [])
    }

    @Test func `every metric of an alert, a recorded rule, a dashboard or a runbook exists`() throws
    {
        for rule in try RuleFile.alerts() {
            #expect(try Self.unknown(in: rule.expression) == [], "\(rule.name)")
            #expect(!PromQL.metrics(in: rule.expression).isEmpty, "\(rule.name)")
        }
        for rule in try RuleFile.recorded() {
            #expect(try Self.unknown(in: rule.expression) == [], "\(rule.name)")
        }
        for dashboard in try Dashboard.all() {
            for panel in dashboard.panels {
                for expression in panel.expressions {
                    #expect(
                        try Self.unknown(in: expression) == [],
                        "\(dashboard.title): \(panel.title)")
                }
            }
        }
        for page in try Runbook.all() {
            for command in page.commands where command.first == "promtool" {
                #expect(try Self.unknown(in: command.last ?? "") == [], "\(page.name)")
            }
        }
    }

    @Test func `each alert leads to a runbook that names it, and a runbook names no other`() throws
    {
        let alerts = try RuleFile.alerts()
        #expect(alerts.count > 30)
        var led: [String: [String]] = [:]
        for alert in alerts {
            #expect(["page", "ticket"].contains(alert.severity), "\(alert.name)")
            #expect(!alert.summary.isEmpty, "\(alert.name)")
            let page = try #require(
                alert.runbook.firstMatch(of: /\/blob\/main\/Docs\/runbooks\/([a-z-]+\.md)$/),
                "\(alert.name)")
            led[String(page.output.1), default: []].append(alert.name)
        }
        let pages = try Runbook.all().filter { !$0.alerts.isEmpty }
        #expect(Dictionary(uniqueKeysWithValues: pages.map { ($0.name, $0.alerts) }) == led)
        for page in pages {
            for part in [
                "**What it means.**", "\n## Investigate\n", "\n## Fix\n", "\n## Over when\n",
            ] {
                #expect(page.text.contains(part), "\(page.name): \(part)")
            }
        }
    }

    @Test func `the page lists each alert, with its severity, its words and its runbook`() throws {
        let page = try Repository.text(of: MetricsPage.path)
        let line = /(?m)^\| `(Oversync[A-Za-z]+)` \| ([a-z]+) \| (.*) \| \[(.*)\]\(.*\) \|$/
        let listed = page.matches(of: line).map {
            [$0.output.1, $0.output.2, $0.output.3, $0.output.4].map(String.init)
        }
        let alerts = try RuleFile.alerts().map { alert in
            let runbook = alert.runbook.split(separator: "/").last?.dropLast(".md".count) ?? ""
            return [alert.name, alert.severity, alert.summary, String(runbook)]
        }
        #expect(listed == alerts)
    }

    @Test func `each objective burns over two windows, once fast and once slowly`() throws {
        let alerts = try RuleFile.alerts().filter { $0.name.contains("Burn") }
        #expect(alerts.count == 8)
        for alert in alerts {
            let windows = alert.expression.matches(of: /ratio_rate([0-9]+[mh])/).map {
                String($0.output.1)
            }
            #expect(windows == (alert.name.hasSuffix("Fast") ? ["1h", "5m"] : ["6h", "30m"]))
        }
    }

    @Test func `each alert has a test that fires it, and one in which it is silent`() throws {
        let text = try Repository.text(of: "Deploy/observability/alerts.test.yml")
        let file = try Yams.load(yaml: text) as? YAMLMap
        let tests = try #require(file?["tests"] as? [YAMLMap])
        var fired: Set<String> = []
        var silent: Set<String> = []
        for test in tests {
            for expected in test["alert_rule_test"] as? [YAMLMap] ?? [] {
                let name = try #require(expected.text("alertname"))
                let alerts = expected["exp_alerts"] as? [Any] ?? []
                if alerts.isEmpty { silent.insert(name) } else { fired.insert(name) }
            }
        }
        let names = Set(try RuleFile.alerts().map(\.name))
        #expect(fired == names && silent == names)
    }

    @Test
    func `dashboards have fixed uids, the variable instance, and panels that say what they show`()
        throws
    {
        let dashboards = try Dashboard.all()
        #expect(dashboards.map(\.title).count == 6)
        #expect(Set(dashboards.map(\.uid)).count == dashboards.count)
        for dashboard in dashboards {
            #expect(dashboard.uid == "oversync-" + dashboard.file.dropLast(".json".count))
            #expect(dashboard.variables.contains("instance"))
            #expect(Set(dashboard.panels.map(\.id)).count == dashboard.panels.count)
            for panel in dashboard.panels {
                #expect(!panel.title.isEmpty && !panel.expressions.isEmpty, "\(dashboard.title)")
            }
        }
        // Rate, errors, duration first.
        let overview = try #require(dashboards.first { $0.file == "overview.json" })
        #expect(
            overview.panels.prefix(3).map { $0.title.prefix(8) } == [
                "Requests", "Errors", "Duration",
            ])
    }

    @Test func `compose starts what watches, with the files of this folder`() throws {
        for name in ["prometheus", "alertmanager", "grafana", "node"] {
            let service = try DeployFiles.service(name)
            #expect(service.list("profiles") == ["observability"], "\(name)")
            #expect(service.list("cap_drop") == ["ALL"], "\(name)")
            #expect(service.isTrue("read_only"), "\(name)")
            for volume in service.list("volumes") where volume.hasPrefix("./") {
                let path = "Deploy/" + volume.dropFirst(2).prefix { $0 != ":" }
                #expect(
                    FileManager.default.fileExists(
                        atPath: Repository.root.appending(path: path).path), "\(name): \(path)")
            }
            for port in service.list("ports") { #expect(port.contains("127.0.0.1"), "\(name)") }
        }
    }
}
