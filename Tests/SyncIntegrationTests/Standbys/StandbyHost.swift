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
import Synchronization
import Telemetry
import Testing
import TestSupport

/// A replica of Download with a real primary and real streaming standbys, one unless a test asks
/// for more. It looks at them only when a test tells it to.
struct StandbyHost {
    let primary: LocalPostgres
    /// The first one.
    let standby: LocalPostgres
    let others: [LocalPostgres]
    /// What is uploaded, and what a replica without standbys serves.
    let source: SyncedDatabase
    /// A superuser's connection to the standby.
    let copy: PostgresConnection
    let standbys: Standbys
    /// Connections of the pool for pages on the primary that were lent so far.
    let loans: PoolLoans
    private let metrics = MetricsRegistry()
    private let pages: StandbyPages
    private let downloads: PullChanges

    /// - Parameters:
    ///   - other: makes a standby of another cluster than the primary.
    ///   - more: standbys of the primary in addition to the first one.
    static func with(
        standbyOf other: LocalPostgres? = nil, andMore more: Int = 0,
        _ body: (StandbyHost) async throws -> Void
    ) async throws {
        try await TestDatabase.withCluster { primary in
            try await SyncedDatabase.prepare(primary.connectionURL())
            try await withStandby(of: other ?? primary) { standby in
                try await withStandbys(more, of: primary) { others in
                    let sql = try await SyncedDatabase.connect(primary.connectionURL())
                    defer { sql.close() }
                    let copy = try await SyncedDatabase.connect(standby.connectionURL())
                    defer { copy.close() }
                    try await body(try StandbyHost(primary, sql, [standby] + others, copy))
                }
            }
        }
    }

    private static func withStandbys(
        _ count: Int, of primary: LocalPostgres, _ body: ([LocalPostgres]) async throws -> Void
    ) async throws {
        guard count > 0 else { return try await body([]) }
        try await withStandby(of: primary) { standby in
            try await withStandbys(count - 1, of: primary) { try await body([standby] + $0) }
        }
    }

    private static func withStandby(
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

    /// Pages that each standby may serve at once.
    private static let turns = 8

    private init(
        _ primary: LocalPostgres, _ sql: PostgresConnection, _ all: [LocalPostgres],
        _ copy: PostgresConnection
    ) throws {
        (self.primary, self.copy) = (primary, copy)
        (standby, others) = (all[0], Array(all.dropFirst()))
        let url = primary.connectionURL()
        source = try SyncedDatabase(url, sql, reaching: PostgresConfiguration(url: url))
        let members = try all.enumerated().map { place, standby in
            Standbys.Member(
                name: "standby-\(place)",
                pool: try Self.pool(
                    standby, PoolConfiguration(acquireTimeout: .seconds(1), outageBridge: .zero),
                    isStandby: true),
                connections: Self.turns,
                connection: try Self.connection(standby, isStandby: true))
        }
        standbys = Standbys(
            members, primary: try Self.connection(primary), logger: SyncedDatabase.logger,
            // Tests pause replay for as long as they take.
            lagLimit: .seconds(600))
        standbys.report(to: metrics)
        let loans = PoolLoans()
        let reader = PageReader(
            pool: try Self.pool(primary, PoolConfiguration(), observer: loans),
            source: source.reader.source)
        self.loans = loans
        pages = try StandbyPages(
            standbys, primary: reader, heads: source.heads, Configuration(environment: [:]),
            metrics: StandbyMetrics(metrics))
        downloads = PullChanges(
            reader: reader, turns: source.turns, heads: source.heads,
            hydrations: DirectHydrationNotes(pool: source.pool), limits: .init(),
            metrics: DownloadMetrics(MetricsRegistry()), logger: SyncedDatabase.logger,
            standbys: pages)
    }

    private static func connection(
        _ cluster: LocalPostgres, isStandby: Bool = false
    ) throws -> PostgresPool {
        try pool(
            cluster, PoolConfiguration(maximumConnections: 1, outageBridge: .zero),
            isStandby: isStandby)
    }

    /// As Download's role.
    private static func pool(
        _ cluster: LocalPostgres, _ bounds: PoolConfiguration, isStandby: Bool = false,
        observer: (any PoolObserver)? = nil
    ) throws -> PostgresPool {
        var configuration = try PostgresConfiguration(
            url: cluster.connectionURL(role: ServiceRole.download.defaultName))
        if isStandby {
            configuration.serveStandby(isPooled: false)
        } else {
            configuration.serve(isPooled: false)
        }
        return PostgresPool(
            configuration, pool: bounds, logger: SyncedDatabase.logger, observer: observer)
    }

    // MARK: - What a device asks

    /// A download as the service with standbys serves it.
    func pull(
        _ user: String = "ann", device: String = "reader", pair: HistoryPair? = nil,
        within time: Duration = .seconds(60),
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
                requestID: "test", deadline: .now + time,
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

    /// A number of downloads from the start, one after the other: their rows, and who served them.
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

    /// Returns when the replica finds all standbys fit to serve.
    func expectFit() async throws { try await expect(nil) }

    /// Looks until the replica finds that of all standbys.
    func expect(_ trouble: StandbyTrouble?) async throws {
        let deadline = ContinuousClock.now + .seconds(30)
        repeat {
            await look()
            if standbys.known.allSatisfy({ $0.trouble == trouble }) { return }
        } while .now < deadline
        Issue.record("it finds \(standbys.details), not \(String(describing: trouble))")
    }

    /// Looks at each standby once.
    func look() async {
        guard let primary = await standbys.lookAtPrimary() else { return }
        for place in standbys.members.indices { await standbys.look(at: place, primary) }
    }

    /// Pauses the first standby's.
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

    /// Lets the replica know its catalog, the log that ends with this change, and who may read it.
    func remember(_ end: HistoryPair) async throws {
        _ = try await source.pull(end)
        await source.heads.poll()
        #expect(source.heads.known(UserID("ann"), for: DeviceID("reader"))?.end == end)
    }

    /// Returns when all standbys show all that was committed until now.
    func expectReplay() async throws {
        for cluster in [standby] + others { try await expectReplay(on: cluster) }
    }

    /// Returns when a standby shows all that was committed until now.
    func expectReplay(on cluster: LocalPostgres) async throws {
        let connection = try await SyncedDatabase.connect(cluster.connectionURL())
        defer { connection.close() }
        let position = try await source.value("SELECT pg_current_wal_flush_lsn()::text") ?? ""
        let replayed = Command(
            Statement(
                name: "replayed",
                sql: "SELECT pg_last_wal_replay_lsn() >= '\(position)'::pg_lsn"))
        let deadline = ContinuousClock.now + .seconds(30)
        while try await !connection.run(replayed).bool(0, 0) {
            try #require(.now < deadline, "the standby does not follow")
        }
    }
}

/// Counts how often a pool lends a connection.
final class PoolLoans: PoolObserver {
    private let number = Atomic(0)

    var count: Int { number.load(ordering: .relaxed) }

    func poolDid(_ event: PoolEvent) {
        if case .acquired = event { number.add(1, ordering: .relaxed) }
    }
}
