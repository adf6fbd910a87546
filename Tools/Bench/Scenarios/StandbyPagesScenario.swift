import AsyncHTTPClient
import DevStack
import Foundation
import LocalPostgres
import NIOCore
import OperatorKit
import Postgres
import Sidecar

/// Readers, half of them with a pair, next to a device that uploads and one that reads back what it
/// has just uploaded: on a host with a standby, in alternation with one that has none.
///
/// The standby runs on the same processors. So rates say little; where pages come from does, and
/// what a request costs the primary.
struct StandbyPagesScenario: Scenario {
    private static let readers = 6
    private static let rowsPerReader = 20_000
    private static let pageRows = 100
    private static let changes = 20
    /// Least share of the pages that standbys serve.
    private static let target = 0.95
    /// Longest answer of a service's metrics, in bytes.
    private static let metricsBytes = 1 << 22

    let id = "standby-pages"
    let work = "100-row pages during uploads, from a standby, against from the primary"
    let unit = "rows"
    var askedForBy: String? { "--only standby-pages" }

    func run(_ bench: Bench) async throws -> ScenarioResult {
        let preload = Preload(
            prefix: bench.unique(id), users: Self.readers, changesPerUser: Self.rowsPerReader)
        try await preload.load(into: bench.stack.database, try await bench.tables())
        let folder =
            FileManager.default.temporaryDirectory.path
            + "/oversync-standby-\(ProcessInfo.processInfo.processIdentifier)"
        let standby = try await bench.started.postgres.startStandby(directory: folder)
        try standby.stopWhenThisProcessEnds(removingFiles: true)
        let outcome: Result<ScenarioResult, any Error>
        do {
            outcome = .success(try await measure(bench, preload, standby))
        } catch {
            outcome = .failure(error)
        }
        try await standby.destroy()
        return try outcome.get()
    }

    private func measure(
        _ bench: Bench, _ preload: Preload, _ standby: LocalPostgres
    ) async throws -> ScenarioResult {
        let sources = try await sources(bench, preload)
        let port = try FreePort.find()
        let url = standby.connectionURL(
            database: Stack.databaseName, role: ServiceRole.download.defaultName)
        return try await bench.withOtherHost(
            download: [
                "OVERSYNC_DOWNLOAD_STANDBY_URLS": url, "OVERSYNC_ADMIN_PORT": "\(port)",
            ]
        ) { [sources] target in
            var (result, sources) = (ScenarioResult(self), sources)
            let loop = ClosedLoop(target: target, groups: bench.groups)
            // The host has looked at the standby by then.
            _ = try await loop.measure(&sources, bench.timing)
            let before = try await Self.counts(port)
            for _ in 0..<bench.plan.rounds {
                result.ours.append(try await loop.measure(&sources, bench.timing))
                result.floor.append(try await bench.loop.measure(&sources, bench.timing))
            }
            let counts = try await Self.counts(port).merging(before) { $0 - $1 }
            Self.judge(&result, counts)
            result.judgeGenerator(cores: bench.cores)
            return result
        }
    }

    private func sources(_ bench: Bench, _ preload: Preload) async throws -> [any RequestSource] {
        var sources: [any RequestSource] = []
        for index in 0..<Self.readers {
            let user = preload.user(index)
            let device = try await bench.device(ofUser: user, "reader")
            let headers = index % 2 == 0 ? try await Self.headers(of: user, bench) : ""
            sources.append(PageSource(device, limit: Self.pageRows, headers: headers))
        }
        sources.append(
            UploadSource(
                try await bench.device("\(id)-u", "phone"), .inserts, changes: Self.changes))
        sources.append(
            ReadBackSource(try await bench.device("\(id)-r", "phone"), changes: Self.changes))
        return sources
    }

    private static func judge(_ result: inout ScenarioResult, _ counts: [String: Double]) {
        func count(_ part: String) -> Double {
            counts.reduce(0) { $0 + ($1.key.contains(part) ? $1.value : 0) }
        }
        let standby = count(#"from="standby""#)
        let all = standby + count(#"from="primary""#)
        result.judgements.append(
            .plain(
                "share of pages that the standby serves", all > 0 ? standby / all : 0,
                .atLeast(target)))
        for (key, value) in counts.sorted(by: { $0.key < $1.key }) where value > 0 {
            result.notes.append("\(key): \(Int(value))")
        }
        let checks = count("standby_checks_total")
        result.notes.append(
            "the primary was asked for the user's state for \(Int(checks)) of \(Int(all)) pages")
    }

    /// What a device that knows all of its log sends with each request.
    private static func headers(of user: String, _ bench: Bench) async throws -> String {
        try await withConnection(to: bench.stack.database) { connection in
            let statement = Statement(
                name: "bench_history",
                sql: """
                    SELECT format(E'oversync-epoch: %s\\r\\noversync-history: %s-%s\\r\\n', m.epoch,
                        l.seq, lpad(to_hex(sync.change_tag(l.seq, l.op, l.version,
                            l.source_change_id, l.content_hash, l.ts, l.key)), 16, '0'))
                    FROM sync.meta m, sync.scope s JOIN sync.change_log l
                        ON l.scope_id = s.scope_id AND l.seq = s.last_seq
                    WHERE s.user_id = $1
                    """,
                parameters: [.text])
            var bindings = Bindings()
            bindings.bind(user)
            return try await connection.rows(Command(statement, bindings), of: String.self).one()
        }
    }

    /// The counters of pages, by name and labels.
    private static func counts(_ port: Int) async throws -> [String: Double] {
        let answer = try await HTTPClient.shared.execute(
            HTTPClientRequest(url: "http://127.0.0.1:\(port)/metrics"), timeout: .seconds(10))
        let text = String(buffer: try await answer.body.collect(upTo: metricsBytes))
        let lines = text.split(separator: "\n").filter {
            $0.hasPrefix("oversync_download_page_sources")
                || $0.hasPrefix("oversync_download_standby_checks")
        }
        return Dictionary(
            lines.compactMap { line in
                let parts = line.split(separator: " ")
                return parts.last.flatMap { Double($0) }.map { (String(parts[0]), $0) }
            }, uniquingKeysWith: +)
    }
}
