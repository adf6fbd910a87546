import DatabaseKit
@testable import DownloadService
import Foundation
import LocalPostgres
import Model
import NIOCore
import Postgres
import Protos
import RPC
import ServiceKit
import Sidecar
import Telemetry
import Testing
import TestSupport

/// A replica of Download with a real primary and a real streaming standby. It looks at both only
/// when a test tells it to.
struct StandbyHost {
    let primary: LocalPostgres
    let standby: LocalPostgres
    /// What is uploaded, and what a replica without standbys serves.
    let source: SyncedDatabase
    /// A superuser's connection to the standby.
    let copy: PostgresConnection
    let standbys: Standbys
    private let metrics = MetricsRegistry()
    private let pages: StandbyPages
    private let downloads: PullChanges

    /// - Parameter other: makes a standby of another cluster than the primary.
    static func with(
        standbyOf other: LocalPostgres? = nil, _ body: (StandbyHost) async throws -> Void
    ) async throws {
        try await TestDatabase.withCluster { primary in
            try await SyncedDatabase.prepare(primary.connectionURL())
            try await withStandby(of: other ?? primary) { standby in
                let sql = try await SyncedDatabase.connect(primary.connectionURL())
                defer { sql.close() }
                let copy = try await SyncedDatabase.connect(standby.connectionURL())
                defer { copy.close() }
                try await body(try StandbyHost(primary, sql, standby, copy))
            }
        }
    }

    static func withStandby(
        of primary: LocalPostgres, _ body: (LocalPostgres) async throws -> Void
    ) async throws {
        let name = UUID().uuidString.prefix(8)
        let standby = try await primary.startStandby(directory: primary.directory + "-\(name)")
        let outcome: Result<Void, any Error>
        do {
            outcome = .success(try await body(standby))
        } catch {
            outcome = .failure(error)
        }
        try? await standby.destroy()
        try outcome.get()
    }

    private init(
        _ primary: LocalPostgres, _ sql: PostgresConnection, _ standby: LocalPostgres,
        _ copy: PostgresConnection
    ) throws {
        (self.primary, self.standby, self.copy) = (primary, standby, copy)
        let url = primary.connectionURL()
        source = try SyncedDatabase(url, sql, reaching: PostgresConfiguration(url: url))
        let member = Standbys.Member(
            name: "standby",
            pool: try Self.pool(
                standby, PoolConfiguration(acquireTimeout: .seconds(1), outageBridge: .zero)),
            connection: try Self.connection(standby))
        standbys = Standbys(
            [member], primary: try Self.connection(primary), logger: SyncedDatabase.logger,
            // Tests pause replay for as long as they take.
            lagLimit: .seconds(600))
        standbys.report(to: metrics)
        pages = try StandbyPages(
            standbys, connections: 4, primary: source.reader, heads: source.heads,
            Configuration(environment: [:]), metrics: StandbyMetrics(metrics))
        downloads = PullChanges(
            reader: source.reader, turns: source.turns, heads: source.heads,
            hydrations: DirectHydrationNotes(pool: source.pool), limits: .init(),
            metrics: DownloadMetrics(MetricsRegistry()), logger: SyncedDatabase.logger,
            standbys: pages)
    }

    private static func connection(_ cluster: LocalPostgres) throws -> PostgresPool {
        try pool(cluster, PoolConfiguration(maximumConnections: 1, outageBridge: .zero))
    }

    /// As Download's role.
    private static func pool(
        _ cluster: LocalPostgres, _ bounds: PoolConfiguration
    ) throws -> PostgresPool {
        var configuration = try PostgresConfiguration(
            url: cluster.connectionURL(role: ServiceRole.download.defaultName))
        configuration.serve(isPooled: false)
        return PostgresPool(configuration, pool: bounds, logger: SyncedDatabase.logger)
    }

    // MARK: - What a device asks

    /// A download as the service with standbys serves it.
    func pull(
        _ user: String = "ann", device: String = "reader", pair: HistoryPair? = nil,
        _ fill: (inout PullChangesRequest) -> Void = { _ in }
    ) async throws -> RPCReply<PullChangesReply> {
        var request = PullChangesRequest()
        request.limit = 1000
        request.includeSelf = true
        if let pair { (request.historySeq, request.historyTag) = (pair.sequence, pair.tag) }
        fill(&request)
        return try await downloads(
            request, ByteBuffer(),
            CallContext(
                requestID: "test", deadline: .now + .seconds(60),
                caller: CallerIdentity(user: user, device: device, roles: [])))
    }

    /// Who served the pages of `body`: `standby`, or why the primary did.
    func sources(_ body: () async throws -> Void) async throws -> [String] {
        try await observed(body).sources
    }

    /// What `body` returns, and who served its pages.
    func observed<Value>(
        _ body: () async throws -> Value
    ) async throws -> (value: Value, sources: [String]) {
        let before = counts
        return (try await body(), Self.difference(counts, before))
    }

    /// So many downloads from the start, one after the other: their rows, and who served them.
    func pull(
        _ times: Int, _ pair: HistoryPair?
    ) async throws -> (rows: [UInt32], sources: [String]) {
        let before = counts
        var rows: [UInt32] = []
        for _ in 0..<times { rows.append(try await pull(pair: pair).message.rows) }
        return (rows, Self.difference(counts, before))
    }

    private static func difference(_ now: [String: Int], _ before: [String: Int]) -> [String] {
        now.flatMap { name, count in
            Array(repeating: name, count: count - (before[name] ?? 0))
        }.sorted()
    }

    /// Readings of users' states on the primary.
    var checks: Int { count("oversync_download_standby_checks_total") ?? 0 }

    private var counts: [String: Int] {
        var counts: [String: Int] = [:]
        let names = [#"{from="standby"}"#: "standby"].merging(
            StandbyPages.Reason.allCases.map {
                (#"{from="primary",reason="\#($0.rawValue)"}"#, $0.rawValue)
            }
        ) { $1 }
        for (labels, name) in names {
            counts[name] = count("oversync_download_page_sources_total" + labels)
        }
        return counts
    }

    private func count(_ metric: String) -> Int? {
        metrics.rendered().split(separator: "\n").first { $0.hasPrefix(metric + " ") }
            .flatMap { $0.split(separator: " ").last }.flatMap { Double($0) }.map { Int($0) }
    }

    // MARK: - What the standby does

    /// Returns when the replica finds the standby fit to serve.
    func expectFit() async throws { try await expect(nil) }

    /// Looks until the replica finds that.
    func expect(_ trouble: StandbyTrouble?) async throws {
        let deadline = ContinuousClock.now + .seconds(30)
        repeat {
            await standbys.look()
            if standbys.known.first?.trouble == trouble { return }
        } while .now < deadline
        Issue.record("it finds \(standbys.details), not \(String(describing: trouble))")
    }

    func pauseReplay() async throws {
        try await copy.execute(script: "SELECT pg_wal_replay_pause()")
        let paused = Command(
            Statement(
                name: "paused", sql: "SELECT pg_get_wal_replay_pause_state() = 'paused'"))
        while try await !copy.run(paused).bool(0, 0) { await Task.yield() }
    }

    func resumeReplay() async throws {
        try await copy.execute(script: "SELECT pg_wal_replay_resume()")
    }

    /// Returns when the standby shows all that was committed until now.
    func expectReplay() async throws {
        let position = try await source.value("SELECT pg_current_wal_flush_lsn()::text") ?? ""
        let replayed = Command(
            Statement(
                name: "replayed_\(position)",
                sql: "SELECT pg_last_wal_replay_lsn() >= '\(position)'::pg_lsn"))
        let deadline = ContinuousClock.now + .seconds(30)
        while try await !copy.run(replayed).bool(0, 0) {
            try #require(.now < deadline, "the standby does not follow")
        }
    }
}
