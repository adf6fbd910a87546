import OperatorKit
import Postgres

/// Whether a change costs the same however many there are already, and however many users they are spread over.
struct GrowthScenario: Scenario {
    private static let sizes = [10_000, 200_000, 5_000_000]
    private static let users = [1, 100, 10_000]
    private static let devices = 8
    private static let changesPerUpload = 200
    private static let rowsPerPage = 1000
    /// Cost with the most changes by the cost with the fewest that still counts as flat: what two measurements of one
    /// thing differ by on a shared machine.
    private static let flat = 1.25

    let id = "growth"
    let work = "cost of a change as the log grows, 1 to 10 000 users"
    let unit = "changes"
    let askedForBy: String? = "--growth"

    func run(_ bench: Bench) async throws -> ScenarioResult {
        var result = ScenarioResult(self)
        let counts = Self.sizes.filter { $0 <= bench.plan.growthLimit }
        guard let least = counts.first, let most = counts.last else { return result }
        var sizes: [String] = []
        for size in counts {
            for users in Self.users {
                result.ours += try await measure(size: size, users: users, bench)
            }
            sizes.append(try await bytes(of: size, bench))
        }
        for work in ["upload", "download"] {
            for users in Self.users {
                result.judge(
                    "\(work), CPU ms per 1000, \(users) users, \(most) changes to \(least)",
                    cost(result, work, most, users),
                    to: cost(result, work, least, users), .atMost(Self.flat))
            }
        }
        result.hasRate = false
        result.notes =
            sizes
            + result.ours.map { measurement in
                let cost = Number.text(measurement.cost(measurement.usage.servers))
                return
                    "\(measurement.label): \(Number.text(measurement.rate))/s, CPU \(cost) ms per 1000"
            }
        result.judgeGenerator(cores: bench.cores)
        return result
    }

    private func cost(_ result: ScenarioResult, _ work: String, _ size: Int, _ users: Int)
        -> Double?
    {
        result.ours.filter { $0.label == label(work, size, users) }
            .median { $0.cost($0.usage.servers) }
    }

    private func label(_ work: String, _ size: Int, _ users: Int) -> String {
        "\(work), \(size) changes, \(users) users"
    }

    /// What the sidecar's tables take on disk for each change, at about this number of changes.
    private func bytes(of size: Int, _ bench: Bench) async throws -> String {
        let tables = ["change_log", "row_state"]
        let statement = Statement(
            name: "bench_sizes",
            sql: tables.map { table in
                """
                SELECT '\(table)' AS name, pg_table_size('sync.\(table)') / count(*),
                    pg_indexes_size('sync.\(table)') / count(*) FROM sync.\(table)
                """
            }.joined(separator: " UNION ALL ") + " ORDER BY name")
        let parts = try await withConnection(to: bench.stack.database) { connection in
            try await connection.rows(statement) { columns throws(PostgresError) in
                let name = try columns.next(String.self)
                let bytes = try columns.next(Int64.self)
                return "\(name) \(bytes) and \(try columns.next(Int64.self)) of indexes"
            }.all()
        }
        return "bytes a row, \(size) changes: \(parts.joined(separator: ", "))"
    }

    private func measure(size: Int, users: Int, _ bench: Bench) async throws -> [Measurement] {
        try await withConnection(to: bench.stack.database) { connection in
            try await connection.execute(
                script: """
                    -- Without row states nothing is captured of what goes.
                    TRUNCATE sync.change_log, sync.row_state;
                    TRUNCATE business.users, business.posts;
                    TRUNCATE sync.source, sync.scope
                    """)
        }
        let preload = Preload(
            prefix: bench.unique("\(id)-\(size)-\(users)"), users: users,
            changesPerUser: max(1, size / users))
        try await preload.load(into: bench.stack.database, try await bench.tables())
        var readers: [any RequestSource] = []
        var writers: [any RequestSource] = []
        for index in 0..<Self.devices {
            let user = preload.user(index)
            readers.append(
                PageSource(
                    try await bench.device(ofUser: user, "reader-\(index)"),
                    limit: Self.rowsPerPage))
            writers.append(
                UploadSource(
                    try await bench.device(ofUser: user, "writer-\(index)"), .inserts,
                    changes: Self.changesPerUpload))
        }
        var all: [Measurement] = []
        for _ in 0..<bench.plan.rounds {
            var download = try await bench.loop.measure(&readers, bench.timing)
            download.label = label("download", size, users)
            all.append(download)
        }
        for _ in 0..<bench.plan.rounds {
            var upload = try await bench.loop.measure(&writers, bench.timing)
            upload.label = label("upload", size, users)
            all.append(upload)
        }
        return all
    }
}
