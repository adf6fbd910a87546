import AsyncHTTPClient
import DevStack
import Foundation
import LocalPostgres
import NIOCore
import NIOHTTP1
import ObservabilityFiles
import OperatorKit
import Testing

/// What the processes of a running stack tell, held against `Docs/metrics.md`, and read by a real
/// Prometheus with the alerts and dashboards of `Deploy/observability`.
@Suite("Metrics on a stack", .timeLimit(.minutes(5)))
struct MetricsOnTheStack {
    private static let services = ["gateway", "auth", "upload", "download"]

    /// A process and what it answers.
    private struct Scrape {
        let service: String
        let text: String

        /// Name and type of each metric.
        var types: [String: String] {
            let lines = text.matches(of: /(?m)^# TYPE (\S+) (\S+)$/)
            return Dictionary(
                lines.map { (String($0.output.1), String($0.output.2)) },
                uniquingKeysWith: { first, _ in first })
        }

        /// The names of the labels of each metric that has series.
        func labels(_ histograms: Set<String>) -> [String: Set<String>] {
            var labels: [String: Set<String>] = [:]
            for line in text.split(separator: "\n") where !line.hasPrefix("#") {
                guard let series = line.firstMatch(of: #/^([a-z_]+)(?:\{(.*)\})? /#) else {
                    continue
                }
                let names = (series.output.2 ?? "").matches(of: /([a-z_]+)="/).map {
                    String($0.output.1)
                }
                let name = PromQL.base(of: String(series.output.1), histograms: histograms)
                labels[name, default: []].formUnion(names.filter { $0 != "le" })
            }
            return labels
        }
    }

    @Test("The page, the processes, promtool and Prometheus agree")
    func metrics() async throws {
        let first = try FreePort.findRow(of: 5)
        try await withStack { directory in
            var plan = demonstrationPlan(in: directory)
            plan.adminPorts = first
            // No standby, and so none that is used; but its metrics are there.
            plan.environmentOf["download"] = [
                "OVERSYNC_DOWNLOAD_STANDBY_URLS": "postgresql://nobody@127.0.0.1:1/nothing"
            ]
            plan.environment = [
                "OVERSYNC_LOG_SECRET": Self.logSecret, "OVERSYNC_LOG_IDLE_POLLS": "1000",
            ]
            return plan
        } _: { (stack: StackAddress) in
            let client = HTTPClient.shared
            try await Self.work(stack, round: 1)
            let scrapes = try await Self.scrapes(first, client)
            try Self.compare(scrapes)
            try await Self.expectLog(of: stack, for: "ann")
            try Self.expectAccount(scrapes)
            guard PrometheusPrograms.areThere else {
                return print("Tools/make/prometheus.sh has not run: nothing is asked of Prometheus")
            }
            for scrape in scrapes {
                let answer = try PrometheusPrograms.run(
                    "promtool", ["check", "metrics"], input: scrape.text)
                #expect(
                    answer.status == 0 && answer.text.isEmpty, "\(scrape.service): \(answer.text)")
            }
            try await Self.ask(first, client, stack)
        }
    }

    /// Some of everything: changes that are applied, repeated, in conflict and refused, pages, a
    /// wait, a bad token.
    private static func work(_ stack: StackAddress, round: Int) async throws {
        try await stack.withClient { client in
            try await work(stack, client)
            try await watch(stack, client, round)
        }
    }

    /// A device that watches hears of a change.
    private static func watch(
        _ stack: StackAddress, _ client: HTTPClient, _ round: Int
    ) async throws {
        let phone = try await WireDevice(stack, client, user: "ann", device: "phone")
        let laptop = try await WireDevice(stack, client, user: "ann", device: "laptop")
        var request = HTTPClientRequest(url: stack.gateway + "/sync/watch")
        request.headers.add(name: "authorization", value: "Bearer \(laptop.token)")
        let response = try await client.execute(request, timeout: .seconds(30))
        var (events, isWritten) = (0, false)
        for try await part in response.body {
            events += String(buffer: part).matches(of: /(?m)^data:/).count
            if events == 1, !isWritten {
                isWritten = true
                let key = "00000000-0000-4000-8000-0000000001\(round)0"
                #expect(
                    try await phone.upload(
                        #"{"source_change_id":\#(100 + round),"schema":"business","#
                            + #""table":"users","op":"INSERT","pk":"\#(key)","#
                            + #""server_version":0,"payload":{"name":"w"}}"#
                    ).status == 200)
            }
            if events >= 2 { break }
        }
    }

    private static func work(_ stack: StackAddress, _ client: HTTPClient) async throws {
        let phone = try await WireDevice(stack, client, user: "ann", device: "phone")
        let laptop = try await WireDevice(stack, client, user: "ann", device: "laptop")
        func user(_ number: Int, base: Int = 0, _ op: String = "INSERT", name: String) -> String {
            let key = "00000000-0000-4000-8000-00000000000\(number)"
            return
                #"{"source_change_id":\#(number + base * 10),"schema":"business","#
                + #""table":"users","op":"\#(op)","pk":"\#(key)","server_version":\#(base),"#
                + #""payload":{"name":"\#(name)"}}"#
        }
        for _ in 0..<2 {
            #expect(try await phone.upload(user(1, name: "a")).status == 200)
        }
        #expect(try await laptop.upload(user(1, base: 7, "UPDATE", name: "late")).status == 200)
        #expect(
            try await phone.upload(
                #"{"source_change_id":9,"schema":"x","table":"made_up","op":"INSERT","#
                    + #""pk":"1","server_version":0,"payload":{}}"#
            ).status == 200)
        #expect(try await laptop.download("after=0").status == 200)
        async let waiting = laptop.download("after=1&wait=20")
        #expect(try await phone.upload(user(2, name: "b")).status == 200)
        #expect(try await waiting.status == 200)
        #expect(try await laptop.download("after=2&wait=3").status == 200)
        for _ in 0..<6 { #expect(try await laptop.download("after=2").status == 200) }
        #expect(try await phone.send(.GET, "/sync/download", token: "no.to.ken").status == 401)
    }

    private static let logSecret = "what keys the hashes of this stack"

    /// The log names a user by a hash that `oversync users hash` finds with the secret alone, and
    /// has the first idle poll of each process and no other.
    private static func expectLog(of stack: StackAddress, for user: String) async throws {
        let folder = URL(filePath: stack.hs256SecretFile).deletingLastPathComponent()
            .deletingLastPathComponent()
        func log() throws -> String {
            try String(contentsOf: folder.appending(path: "oversync.log"), encoding: .utf8)
        }
        let arguments = ["users", "hash", user]
        let oversync = try Executables.find("oversync")
        let printed = try await Shell.run(oversync, arguments).split(separator: "\n")
        #expect(printed.count == 2 && printed[0].hasPrefix("OVERSYNC_LOG_SECRET is not set: "))
        let plain = String(try #require(printed.last))
        let keyed = try await Shell.run(
            "env", ["OVERSYNC_LOG_SECRET=\(logSecret)", oversync] + arguments)
        func field(_ hash: String) -> String {
            "\"user\":\"\(hash.trimmingCharacters(in: .newlines))\""
        }
        try await eventually("the lines are written") { try log().contains(field(keyed)) }
        let lines = try log()
        #expect(!lines.contains(field(plain)))
        let idle = lines.split(separator: "\n").filter {
            $0.contains("\"message\":\"download\"") && $0.contains("\"rows\":0")
        }
        #expect((1...2).contains(idle.count))
    }

    private static func scrapes(_ first: Int, _ client: HTTPClient) async throws -> [Scrape] {
        var scrapes: [Scrape] = []
        for (place, service) in services.enumerated() {
            let request = HTTPClientRequest(url: "http://127.0.0.1:\(first + place)/metrics")
            let response = try await client.execute(request, timeout: .seconds(10))
            let text = String(buffer: try await response.body.collect(upTo: 4 << 20))
            scrapes.append(Scrape(service: service, text: text))
        }
        return scrapes
    }

    private static func compare(_ scrapes: [Scrape]) throws {
        let rows = try MetricsPage.rows().filter { $0.processes.isSubset(of: MetricsPage.services) }
        let histograms = Set(rows.filter { $0.type == "histogram" }.map(\.name))
        for scrape in scrapes {
            let expected = rows.filter { $0.processes.contains(scrape.service) }
            let types = scrape.types
            #expect(
                Set(types.keys).symmetricDifference(expected.map(\.name)).sorted() == [],
                "\(scrape.service)")
            let labels = scrape.labels(histograms)
            for row in expected {
                #expect(types[row.name] == row.type, "\(scrape.service): \(row.name)")
                let found = labels[row.name] ?? []
                #expect(found.isSubset(of: row.labels), "\(scrape.service): \(row.name) \(found)")
            }
        }
    }

    /// What `work` must have left.
    private static func expectAccount(_ scrapes: [Scrape]) throws {
        func value(_ service: String, _ series: String) -> Double? {
            scrapes.first { $0.service == service }?.text.split(separator: "\n")
                .first { $0.hasPrefix(series + " ") }.flatMap {
                    Double($0.dropFirst(series.count + 1))
                }
        }
        #expect(value("upload", "oversync_upload_duplicates_total") == 1)
        #expect(value("upload", #"oversync_upload_conflicts_total{table="business.users"}"#) == 1)
        #expect(
            value(
                "upload",
                #"oversync_upload_changes_total{outcome="invalid",reason="unregistered_table"}"#)
                == 1)
        #expect(
            value(
                "gateway",
                #"oversync_gateway_rejected_tokens_total{cause="malformed",issuer="none"}"#) == 1)
        let expiry = "oversync_gateway_certificate_expiry_timestamp_seconds"
        #expect(value("gateway", expiry) ?? 0 > Date().timeIntervalSince1970)
        #expect(value("gateway", #"oversync_readiness{state="ready"}"#) == 1)
        #expect(value("auth", "oversync_auth_signing_key_age_seconds") ?? -1 >= 0)
        // The poll that waited for three seconds took as little of its time as the others.
        let route = #"method="GET",route="/sync/download",status="200""#
        let requests = "oversync_gateway_request_seconds"
        let all = value("gateway", requests + "_count{\(route)}")
        #expect(all == 9)
        #expect(value("gateway", requests + "_bucket{\(route),le=\"2.0\"}") == all)
        for scrape in scrapes {
            #expect(!scrape.text.contains("\"ann") && !scrape.text.contains("made_up"))
        }
    }

    /// Has a real Prometheus evaluate every rule and panel.
    private static func ask(_ first: Int, _ client: HTTPClient, _ stack: StackAddress) async throws
    {
        let node = try FreePort.find()
        let exporter = Process()
        exporter.executableURL = URL(
            filePath: PrometheusPrograms.path("prometheus-node-exporter"))
        exporter.arguments = [
            "--web.listen-address=127.0.0.1:\(node)", "--log.level=error",
            "--collector.disable-defaults", "--collector.filesystem",
        ]
        try exporter.run()
        defer {
            exporter.terminate()
            exporter.waitUntilExit()
        }
        // Both replicas of Download.
        let targets = [
            "gateway": [first], "auth": [first + 1], "upload": [first + 2],
            "download": [first + 3, first + 4], "node": [node],
        ]
        try await RunningPrometheus.with(targets: targets, client) { prometheus in
            try await prometheus.expectScrapes(4, of: 6)
            try await work(stack, round: 2)
            try await prometheus.expectScrapes(8, of: 6)
            for rule in try RuleFile.alerts() {
                // Backups are not made here, and everything else is well.
                let firing = try await prometheus.query(rule.expression)
                if !mayFire.contains(rule.name) {
                    #expect(firing.isEmpty, "\(rule.name): \(firing)")
                }
            }
            for rule in try RuleFile.recorded() where rule.name.hasSuffix("5m") {
                #expect(try await prometheus.query(rule.name).count == 1, "\(rule.name)")
            }
            var empty: Set<String> = []
            for dashboard in try Dashboard.all() {
                for panel in dashboard.panels {
                    for expression in panel.expressions {
                        let asked = expression.replacing("$instance", with: ".*")
                            .replacing("$__rate_interval", with: "1m")
                        if try await prometheus.query(asked).isEmpty {
                            empty.insert("\(dashboard.file) \(panel.title)")
                        }
                    }
                }
            }
            #expect(empty.subtracting(withoutData).sorted() == [])
        }
    }

    /// Alerts that a stack of half a minute, with a refused change and a standby that is not there,
    /// may raise.
    private static let mayFire: Set<String> = [
        "OversyncStandbyStale", "OversyncRejectedRows", "OversyncConflictSpike", "OversyncDiskFull",
        // A machine that runs other tests meanwhile is slow.
        "OversyncUploadLatencyBurnFast", "OversyncUploadLatencyBurnSlow",
        "OversyncDownloadLatencyBurnFast", "OversyncDownloadLatencyBurnSlow",
        "OversyncDeliveryLagBurnFast", "OversyncDeliveryLagBurnSlow", "OversyncPoolWaits",
    ]
    /// Panels that show nothing on such a stack.
    private static let withoutData: Set<String> = [
        "overview.json Alerts that fire", "overview.json Readiness", "overview.json Errors",
        "upload.json Rows that tables refused", "upload.json Retries by administrators",
        "postgres.json WAL that slots keep", "postgres.json Slots at work", "postgres.json Backups",
        "postgres.json Size of backups", "postgres.json Tables not wholly synced",
        "download.json Pages by source", "devices.json Tokens rejected",
        // Nothing was vacuumed, analyzed, compacted or split yet.
        "postgres.json Bytes that hold no rows", "postgres.json Time since the last vacuum",
        "postgres.json Pages that index scans need not read",
        "postgres.json Age of the floors of logs", "postgres.json Size of partitions",
    ]

    @Test(
        "promtool takes the rules, fires each alert on made-up series, and none on good ones",
        .enabled(if: PrometheusPrograms.areThere, "Tools/make/prometheus.sh has not run"))
    func rules() throws {
        let folder = ObservabilityFiles.folder
        for arguments in [
            ["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"],
            ["check", "config", "prometheus.yml"],
        ] {
            let answer = try PrometheusPrograms.run("promtool", arguments, in: folder)
            #expect(answer.status == 0, "\(arguments): \(answer.text)")
        }
        let answer = try PrometheusPrograms.run(
            "amtool", ["check-config", "alertmanager.yml"], in: folder)
        #expect(answer.status == 0, "\(answer.text)")
    }

    @Test("backup.sh tells Prometheus of the newest base backup")
    func backups() throws {
        let folder = FileManager.default.temporaryDirectory.appending(
            path: "backups-\(UUID().uuidString.prefix(8))")
        let base = folder.appending(path: "7-1-1/base/20260101T000000Z")
        try FileManager.default.createDirectory(at: base, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try "1767225600\n".write(
            to: base.appending(path: "ended"), atomically: true, encoding: .utf8)
        let script = Process()
        script.executableURL = URL(filePath: "/bin/bash")
        script.arguments = [
            ObservabilityFiles.root.appending(path: "Deploy/backup/backup.sh").path, "metrics",
        ]
        script.environment = ProcessInfo.processInfo.environment.merging(
            ["BACKUP_DIR": folder.path]) { $1 }
        let printed = Pipe()
        script.standardOutput = printed
        try script.run()
        let text = String(
            decoding: printed.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        script.waitUntilExit()
        #expect(script.terminationStatus == 0)
        let described = try MetricsPage.rows().filter { $0.processes == ["backup.sh"] }.map(\.name)
        let told = text.matches(of: /(?m)^# TYPE (\S+) gauge$/).map { String($0.output.1) }
        // No WAL was received yet.
        #expect(Set(described).subtracting(told) == ["oversync_backup_wal_timestamp_seconds"])
        #expect(Set(told).isSubset(of: described))
        #expect(text.contains("\noversync_backup_base_timestamp_seconds 1767225600\n"))
        #expect(text.contains("\noversync_backup_bases 1\n"))
        guard PrometheusPrograms.areThere else { return }
        let check = try PrometheusPrograms.run("promtool", ["check", "metrics"], input: text)
        #expect(check.status == 0 && check.text.isEmpty, "\(check.text)")
    }
}
