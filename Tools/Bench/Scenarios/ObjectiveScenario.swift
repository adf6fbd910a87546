import Foundation
import GRDB
import Histogram
import OperatorKit
import OverSQLite
import OverSQLiteAsyncHTTP

/// What people who use an app notice of sync. `make slo` judges it.
enum Objective: String, CaseIterable {
    case upload = "slo-upload"
    case page = "slo-page"
    case firstSync = "slo-first-sync"
    case delivery = "slo-delivery"
}

/// The 95th percentile of what people notice, on a machine that does little else: held against a
/// time that is the objective, and against what this machine takes for the bare work, as a slow
/// machine must not hide a slow server, nor blame one.
struct ObjectiveScenario: Scenario {
    /// Longest p95, in milliseconds, as the alerts have it, and longest p95 in times of the floor's
    /// mean. The bare work knows no TLS, tokens, versions or conflicts, and has no tail.
    private static let bounds: [Objective: (milliseconds: Double, ofFloor: Double)] = [
        .upload: (500, 10), .page: (500, 10), .firstSync: (5000, 6), .delivery: (1000, 12),
    ]
    /// Devices that upload or read, each when it is answered.
    private static let devices = 2
    private static let changes = 50
    private static let pageRows = 1000
    private static let rowsPerReader = 20_000
    private static let firstRows = 10_000
    /// First syncs of one measurement.
    private static let firstSyncs = 5

    let objective: Objective

    init(_ objective: Objective) { self.objective = objective }

    var id: String { objective.rawValue }
    var askedForBy: String? { "make slo, or --only \(id)" }
    var work: String {
        switch objective {
        case .upload: "objective: upload of \(Self.changes) changes, \(Self.devices) at once"
        case .page: "objective: page of \(Self.pageRows) rows, \(Self.devices) at once"
        case .firstSync: "objective: first sync of \(Self.firstRows) rows, by the SDK"
        case .delivery: "objective: commit on one device to the event on another"
        }
    }
    var unit: String {
        switch objective {
        case .upload: "changes"
        case .page, .firstSync: "rows"
        case .delivery: "events"
        }
    }

    func run(_ bench: Bench) async throws -> ScenarioResult {
        var result = ScenarioResult(self)
        let clients: Int
        switch objective {
        case .upload:
            clients = Self.devices
            (result.ours, result.floor) = try await upload(bench)
        case .page:
            clients = Self.devices
            (result.ours, result.floor) = try await page(bench)
        case .firstSync:
            clients = 1
            (result.ours, result.floor) = try await firstSync(bench)
        case .delivery:
            clients = 1
            (result.ours, result.floor) = try await delivery(bench)
        }
        guard let p95 = result.ours.median({ $0.latency?.p95 }),
            let floor = result.floor.median({ $0.meanMilliseconds(clients: clients) }),
            let bounds = Self.bounds[objective]
        else { throw StackError("\(id): nothing was measured") }
        result.judgements = [
            .plain("p95 ms", p95, .atMost(bounds.milliseconds)),
            .ratio("p95 ms, to the bare work's mean", p95, to: floor, .atMost(bounds.ofFloor)),
        ]
        return result
    }

    private typealias Pairs = (ours: [Measurement], floor: [Measurement])

    private func upload(_ bench: Bench) async throws -> Pairs {
        var sources: [any RequestSource] = []
        for index in 0..<Self.devices {
            let device = try await bench.device("\(id)-\(index)", "device")
            sources.append(UploadSource(device, .inserts, changes: Self.changes))
        }
        let floor = PgBench(
            script: bench.script("floor-upload.sql"), database: bench.floor.url,
            clients: Self.devices, unitsPerTransaction: Self.changes,
            variables: ["changes": Self.changes])
        try await floor.warmUp()
        return try await bench.alternate(
            ours: { try await bench.loop.measure(&sources, bench.timing) },
            floor: { try await floor.measure(bench.timing, bench.groups) })
    }

    private func page(_ bench: Bench) async throws -> Pairs {
        let preload = Preload(
            prefix: bench.unique(id), users: Self.devices, changesPerUser: Self.rowsPerReader)
        try await preload.load(into: bench.stack.database, try await bench.tables())
        let floor = try await pages(
            bench, of: preload, rows: Self.rowsPerReader, clients: Self.devices)
        var sources: [any RequestSource] = []
        for index in 0..<Self.devices {
            let device = try await bench.device(ofUser: preload.user(index), "reader")
            sources.append(PageSource(device, limit: Self.pageRows))
        }
        return try await bench.alternate(
            ours: { try await bench.loop.measure(&sources, bench.timing) },
            floor: { try await floor.measure(bench.timing, bench.groups) })
    }

    /// PostgreSQL's own reading of the same pages.
    private func pages(
        _ bench: Bench, of preload: Preload, rows: Int, clients: Int
    ) async throws -> PgBench {
        let first = try await preload.load(into: bench.floor.url, .unregistered)
        let floor = PgBench(
            script: bench.script("floor-page.sql"), database: bench.floor.url, clients: clients,
            unitsPerTransaction: Self.pageRows,
            variables: ["first": first, "rows": rows, "limit": Self.pageRows, "after": 0])
        try await floor.warmUp()
        return floor
    }

    /// The floor reads the pages from PostgreSQL, and writes as many rows by SQLite's C interface.
    private func firstSync(_ bench: Bench) async throws -> Pairs {
        let preload = Preload(
            prefix: bench.unique(id), users: 1, changesPerUser: Self.firstRows)
        try await preload.load(into: bench.stack.database, try await bench.tables())
        let pages = try await pages(bench, of: preload, rows: Self.firstRows, clients: 1)
        let folder = try DeviceFolder(bench, id)
        defer { folder.remove() }
        let token = try await bench.device(ofUser: preload.user(0), "new").token
        let transport = try AsyncHTTPTransport(trusting: bench.stack.authority)
        let posts = DevicePost.some(Self.firstRows)
        var turn = 0
        let pairs = try await bench.alternate(
            ours: {
                try await repeated(bench) {
                    turn += 1
                    return try await read(bench, folder, "ours-\(turn)", token, transport)
                }
            },
            floor: {
                let reading = try await pages.measure(bench.timing, bench.groups)
                let page = reading.meanMilliseconds(clients: 1) ?? 0
                return try await repeated(bench) {
                    turn += 1
                    let database = try BareSQLite(try folder.file("bare-\(turn)"))
                    let start = ContinuousClock.now
                    try database.write(posts)
                    return ContinuousClock.now - start
                        + .milliseconds(page * Double(Self.firstRows / Self.pageRows))
                }
            })
        return pairs
    }

    /// Reads everything into a new file, and takes the time.
    private func read(
        _ bench: Bench, _ folder: DeviceFolder, _ name: String, _ token: String,
        _ transport: AsyncHTTPTransport
    ) async throws -> Duration {
        guard let gateway = URL(string: bench.stack.gateway) else { throw StackError("no URL") }
        var configuration = SyncConfiguration(gateway: gateway, schema: "business")
        configuration.transport = transport
        let file = try folder.file(name)
        let database = try DatabasePool(path: file)
        try await database.write { db in
            try db.execute(
                sql: "CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT, email TEXT)")
        }
        let engine = try SyncEngine(
            for: database, tables: [.init("users"), .init("posts")], configuration: configuration,
            credentials: { token })
        let start = ContinuousClock.now
        try await engine.fetchChanges()
        let elapsed = ContinuousClock.now - start
        let rows = try await database.read { db in
            try Int.fetchOne(
                db, sql: "SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM posts)") ?? 0
        }
        guard rows == Self.firstRows else {
            throw StackError("\(rows) rows instead of \(Self.firstRows)")
        }
        return elapsed
    }

    private func repeated(
        _ bench: Bench, _ once: () async throws -> Duration
    ) async throws -> Measurement {
        var times = Histogram<UInt64>(numberOfSignificantValueDigits: .three)
        let before = bench.groups.usage()
        var all = Duration.zero
        for _ in 0..<Self.firstSyncs {
            let time = try await once()
            times.record(UInt64(time / .microseconds(1)))
            all += time
        }
        return Measurement(
            units: Self.firstRows * Self.firstSyncs, requests: Self.firstSyncs,
            seconds: all / .seconds(1), latency: LatencySummary(times),
            usage: bench.groups.usage().since(before))
    }

    /// The floor commits as much, without telling anybody.
    private func delivery(_ bench: Bench) async throws -> Pairs {
        let floor = PgBench(
            script: bench.script("floor-upload-1.sql"), database: bench.floor.url, clients: 1,
            unitsPerTransaction: 1)
        try await floor.warmUp()
        let events = EventLatencyScenario(.sameHost)
        var turn = 0
        return try await bench.alternate(
            ours: {
                turn += 1
                return try await events.round(bench, bench.target, user: "\(id)-\(turn)").event
            },
            floor: { try await floor.measure(bench.timing, bench.groups) })
    }
}
