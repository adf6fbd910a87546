import OperatorKit
import Postgres
import Sidecar

/// What the settings of hot tables bring: edits of rows that are there, by PostgreSQL alone, with
/// the settings of a migration and with PostgreSQL's own.
struct HotTablesScenario: Scenario {
    /// One way to set the tables.
    private struct Settings {
        let label: String
        /// Of `sync.row_state` and `sync.scope`, in percent.
        let fill: (states: Int, scopes: Int)
        let vacuumScale: Double
    }

    private static let ways = [
        Settings(label: "as migrated: 80, 50, 0.05", fill: (80, 50), vacuumScale: 0.05),
        Settings(label: "PostgreSQL's: 100, 100, 0.2", fill: (100, 100), vacuumScale: 0.2),
        Settings(label: "full pages: 100, 100, 0.05", fill: (100, 100), vacuumScale: 0.05),
        Settings(label: "more room: 60, 25, 0.05", fill: (60, 25), vacuumScale: 0.05),
        Settings(label: "vacuum sooner: 80, 50, 0.01", fill: (80, 50), vacuumScale: 0.01),
    ]
    private static let rowsPerUser = 5000
    private static let changes = 50
    private static let clients = 8
    /// Rate of the migration's way by that of PostgreSQL's own that counts as no loss.
    private static let target = 0.95

    let id = "hot-tables"
    let work = "50 edits a transaction, with settings of hot tables, against PostgreSQL's own"
    let unit = "changes"
    var askedForBy: String? { "--only \(id)" }

    func run(_ bench: Bench) async throws -> ScenarioResult {
        var result = ScenarioResult(self)
        result.notes = ["fillfactor of row_state, of scope, autovacuum_vacuum_scale_factor"]
        try await autovacuum("1s", bench)
        for round in 0..<bench.plan.rounds {
            for (index, way) in Self.ways.enumerated() {
                let first = try await load(way, bench)
                var measurement = try await PgBench(
                    script: bench.script("cost-hot-rows.sql"), database: bench.floor.url,
                    clients: Self.clients, unitsPerTransaction: Self.changes,
                    variables: ["first": first, "rows": Self.rowsPerUser]
                ).measure(bench.timing, bench.groups)
                measurement.label = way.label
                if index == 1 {
                    result.floor.append(measurement)
                } else {
                    result.ours.append(measurement)
                }
                if round == bench.plan.rounds - 1 {
                    let rate = Number.text(measurement.rate)
                    result.notes.append("\(way.label): \(rate)/s, \(try await shape(bench))")
                }
            }
        }
        try await autovacuum(nil, bench)
        let migrated = result.ours.filter { $0.label == Self.ways[0].label }
        result.judge(
            "\(unit)/s", migrated.rate, to: result.floor.rate, .atLeast(Self.target))
        result.hasRate = false
        return result
    }

    /// How often autovacuum looks; nil as PostgreSQL has it.
    private func autovacuum(_ naptime: String?, _ bench: Bench) async throws {
        try await withConnection(to: bench.floor.url) { connection in
            try await connection.execute(
                script: naptime.map { "ALTER SYSTEM SET autovacuum_naptime = '\($0)'" }
                    ?? "ALTER SYSTEM RESET autovacuum_naptime")
            try await connection.execute(script: "SELECT pg_reload_conf()")
        }
    }

    /// Fills the tables again, as their pages are filled.
    ///
    /// - Returns: the first scope.
    private func load(_ way: Settings, _ bench: Bench) async throws -> Int {
        try await withConnection(to: bench.floor.url) { connection in
            try await connection.execute(
                script: """
                    TRUNCATE sync.change_log, sync.row_state, sync.source, sync.scope;
                    ALTER TABLE sync.row_state SET (fillfactor = \(way.fill.states),
                        autovacuum_vacuum_scale_factor = \(way.vacuumScale));
                    ALTER TABLE sync.scope SET (fillfactor = \(way.fill.scopes),
                        autovacuum_vacuum_scale_factor = \(way.vacuumScale));
                    SELECT pg_stat_reset()
                    """)
        }
        let preload = Preload(
            prefix: bench.unique(id), users: Self.clients, changesPerUser: Self.rowsPerUser)
        return try await preload.load(into: bench.floor.url, .unregistered)
    }

    /// How the tables are afterwards.
    private func shape(_ bench: Bench) async throws -> String {
        try await withConnection(to: bench.floor.url) { connection in
            let statement = Statement(
                name: "bench_hot_tables",
                sql: """
                    SELECT table_name, hot_updated_rows * 100 / greatest(updated_rows, 1),
                        table_bytes / 1024, dead_rows
                    FROM sync.health WHERE table_name IN ('row_state', 'scope')
                    ORDER BY table_name
                    """)
            let lines = try await connection.rows(statement) { columns throws(PostgresError) in
                let name = try columns.next(String.self)
                let hot = try columns.next(Int64.self)
                let size = try columns.next(Int64.self)
                return "\(name) \(hot) % HOT, \(size) kB, \(try columns.next(Int64.self)) dead"
            }.all()
            return lines.joined(separator: "; ")
        }
    }
}
