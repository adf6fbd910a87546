import OperatorKit
import Postgres

/// Compares what two ways to ask PostgreSQL cost, by `pgbench` alone: the choices that the
/// product has made, so that anybody can see on their own machine whether they are right.
struct CostScenario: Scenario {
    /// A script, with values of its variables.
    struct Way: Sendable {
        let script: String
        var variables: [String: Int] = [:]
    }

    private static let rowsPerReader = 20_000

    let id: String
    let work: String
    let unit: String
    /// Units of one transaction.
    let units: Int
    /// What the product does.
    let ours: Way
    /// What it could do instead, or what it would do without.
    let other: Way
    /// The longest time of the product's way, in times of the other's.
    let target: Double
    /// Whether both read pages of a log that is loaded before.
    var readsPages = false

    var askedForBy: String? { "--only \(id)" }

    /// All of them.
    static let all =
        [100, 1000, 5000].map(page) + [
            gate("cost-gate-new", "200 ids, all new", step: 200, target: 1.1),
            gate("cost-gate-known", "200 ids, all known", step: 0, target: 1.1),
            savepoint("cost-savepoint", "kept", "50 rows with a savepoint, against without", 1.2),
            savepoint("cost-savepoint-undone", "undone", "50 rows, once undone, against none", 2.5),
        ]

    private static func page(_ rows: Int) -> CostScenario {
        CostScenario(
            id: "cost-page-\(rows)", work: "a page of \(rows) as rows, against json_agg",
            unit: "rows", units: rows,
            ours: Way(script: "floor-page.sql", variables: ["limit": rows]),
            other: Way(script: "cost-page-json.sql", variables: ["limit": rows]), target: 1,
            readsPages: true)
    }

    private static func gate(
        _ id: String, _ what: String, step: Int, target: Double
    ) -> CostScenario {
        let variables = ["next": 1, "step": step]
        return CostScenario(
            id: id, work: "\(what): a look-up, against an insert that skips", unit: "ids",
            units: 200, ours: Way(script: "cost-gate-lookup.sql", variables: variables),
            other: Way(script: "cost-gate-insert.sql", variables: variables), target: target)
    }

    private static func savepoint(
        _ id: String, _ end: String, _ work: String, _ target: Double
    ) -> CostScenario {
        CostScenario(
            id: id, work: work, unit: "rows", units: 50,
            ours: Way(script: "cost-savepoint-\(end).sql", variables: ["next": 1]),
            other: Way(script: "cost-savepoint-none.sql", variables: ["next": 1]), target: target)
    }

    func run(_ bench: Bench) async throws -> ScenarioResult {
        var result = ScenarioResult(self)
        var more: [String: Int] = [:]
        if readsPages {
            let preload = Preload(
                prefix: bench.unique(id), users: 1, changesPerUser: Self.rowsPerReader)
            more["first"] = try await preload.load(into: bench.floor.url, .unregistered)
            (more["rows"], more["after"]) = (Self.rowsPerReader, 0)
        }
        func measure(_ way: Way) async throws -> Measurement {
            if !readsPages { try await makeTable(bench) }
            return try await PgBench(
                script: bench.script(way.script), database: bench.floor.url, clients: 1,
                unitsPerTransaction: units,
                variables: way.variables.merging(more) { own, _ in own }
            ).measure(bench.timing, bench.groups)
        }
        (result.ours, result.floor) = try await bench.alternate(
            ours: { try await measure(ours) }, floor: { try await measure(other) })
        // By time: the CPU of a session that has ended is counted late.
        result.judge(
            "\(unit)/s", result.ours.rate, to: result.floor.rate, .atLeast(1 / target))
        return result
    }

    /// An empty table of ids; for ids that are known, with those.
    private func makeTable(_ bench: Bench) async throws {
        try await withConnection(to: bench.floor.url) { connection in
            try await connection.execute(
                script: """
                    DROP TABLE IF EXISTS bench_gate;
                    CREATE TABLE bench_gate (
                        source int NOT NULL, id bigint NOT NULL, body text NOT NULL,
                        PRIMARY KEY (source, id));
                    INSERT INTO bench_gate SELECT s, n, 'x' FROM unnest(ARRAY[0, 100]) AS s,
                        generate_series(1, 200) AS n WHERE \(ours.variables["step"] == 0);
                    ANALYZE bench_gate
                    """)
        }
    }
}

/// The longest upload that a device may send, against the longest that a statement may take.
struct LongestUploadScenario: Scenario {
    /// `OVERSYNC_MAX_UPLOAD_CHANGES`, and `OVERSYNC_UPLOAD_STATEMENT_TIMEOUT_MS`, by default.
    private static let changes = 1000
    private static let statementMilliseconds = 15_000.0

    let id = "cost-longest-upload"
    let work = "upload of 1000 changes, one at a time, against the statement timeout"
    let unit = "changes"
    var askedForBy: String? { "--only \(id)" }

    func run(_ bench: Bench) async throws -> ScenarioResult {
        var result = ScenarioResult(self)
        var sources: [any RequestSource] = [
            UploadSource(try await bench.device(id, "device"), .inserts, changes: Self.changes)
        ]
        (result.ours, _) = try await bench.alternate(
            ours: { try await bench.loop.measure(&sources, bench.timing) }, floor: nil)
        if let p99 = result.ours.median({ $0.latency?.p99 }) {
            result.judgements = [.plain("p99 ms", p99, .atMost(Self.statementMilliseconds / 10))]
        }
        return result
    }
}
