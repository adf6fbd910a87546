import OperatorKit
import Postgres
import Sidecar

/// What partitions of the log and of the states of rows bring and cost, by PostgreSQL alone, in
/// alternation with one table each: uploads, pages, compaction, vacuum, and the conversion itself.
struct PartitionScenario: Scenario {
    private static let partitions = 8
    private static let users = 1000
    /// Users whose logs are compacted in one measurement.
    private static let compacted = 20
    private static let changesPerUpload = 50
    private static let rowsPerPage = 1000
    private static let clients = 8
    /// Least share of the rate without partitions that counts as no loss.
    private static let target = 0.9

    let id = "partitions"
    let work = "8 partitions, against one table: upload, page, compaction, vacuum, conversion"
    let unit = "changes"
    var askedForBy: String? { "--only \(id)" }

    /// What is measured with each number of partitions.
    private enum Part: String, CaseIterable {
        case conversion, upload, page, compaction, vacuum
    }

    func run(_ bench: Bench) async throws -> ScenarioResult {
        var result = ScenarioResult(self)
        let size = bench.plan.growthLimit
        let preload = Preload(
            prefix: bench.unique(id), users: Self.users, changesPerUser: size / Self.users)
        let first = try await preload.load(into: bench.floor.url, .unregistered)
        try await beLikeServices(bench)
        var turn = 0
        for _ in 0..<bench.plan.rounds {
            for count in [Self.partitions, 1] {
                let measured = try await measure(bench, preload, first, count, turn)
                if count == 1 { result.floor += measured } else { result.ours += measured }
                turn += 1
            }
        }
        for part in Part.allCases {
            result.judge(
                "\(part.rawValue), changes/s", rate(result.ours, part),
                to: rate(result.floor, part), .atLeast(Self.target))
        }
        result.hasRate = false
        result.notes = ["\(size) changes of \(Self.users) users"]
        for part in Part.allCases {
            for (side, all) in [("partitions", result.ours), ("one table", result.floor)] {
                guard let rate = rate(all, part) else { continue }
                result.notes.append(
                    "\(part.rawValue), \(side): \(Number.text(rate)) changes/s, "
                        + "\(Number.text(1_000_000 / max(rate, 1))) s a million")
            }
        }
        return result
    }

    private func rate(_ all: [Measurement], _ part: Part) -> Double? {
        all.filter { $0.label == part.rawValue }.rate
    }

    /// Plans are made once a session, without a partition in mind.
    private func beLikeServices(_ bench: Bench) async throws {
        let settings = ["plan_cache_mode", "enable_seqscan", "jit"].compactMap { name in
            PostgresConfiguration.serviceSession[name].map { "SET \(name) = '\($0)'" }
        }
        try await withConnection(to: bench.floor.url) { connection in
            for setting in settings {
                try await connection.execute(
                    script: """
                        DO $do$ BEGIN
                            EXECUTE format($f$ALTER DATABASE %I \(setting)$f$, current_database());
                        END $do$
                        """)
            }
        }
    }

    private func measure(
        _ bench: Bench, _ preload: Preload, _ first: Int, _ count: Int, _ turn: Int
    ) async throws -> [Measurement] {
        let size = bench.plan.growthLimit
        var all: [Measurement] = []
        all.append(
            try await timed(.conversion, units: size, bench) { connection in
                try await Partitioning(count: count).apply(
                    in: MigrationRun(on: connection), report: { _ in })
            })
        let upload = PgBench(
            script: bench.script("floor-upload.sql"), database: bench.floor.url,
            clients: Self.clients, unitsPerTransaction: Self.changesPerUpload,
            variables: ["changes": Self.changesPerUpload])
        let page = PgBench(
            script: bench.script("floor-page.sql"), database: bench.floor.url,
            clients: Self.clients, unitsPerTransaction: Self.rowsPerPage,
            variables: [
                "first": first, "rows": preload.changesPerUser, "limit": Self.rowsPerPage,
                "after": 0,
            ])
        for (part, script) in [(Part.upload, upload), (Part.page, page)] {
            try await script.warmUp()
            var measurement = try await script.measure(bench.timing, bench.groups)
            measurement.label = part.rawValue
            all.append(measurement)
        }
        let users = (0..<Self.compacted).map { preload.user(turn * Self.compacted + $0) }
        try await replace(rowsOf: users, preload, bench)
        all.append(
            try await timed(.compaction, units: users.count * preload.changesPerUser, bench) {
                connection in
                for user in users {
                    _ = try await Compactor(
                        connection: connection, retention: Retention(superseded: 0, tombstones: 0)
                    ).run(user: user)
                }
            })
        all.append(
            try await timed(.vacuum, units: size, bench) { connection in
                try await connection.execute(script: "VACUUM sync.change_log")
            })
        return all
    }

    /// Each row of these users gets a newer change, so that compaction has something to remove.
    private func replace(rowsOf users: [String], _ preload: Preload, _ bench: Bench) async throws {
        let names = users.map { "'\($0)'" }.joined(separator: ", ")
        let count = preload.changesPerUser
        try await withConnection(to: bench.floor.url) { connection in
            try await connection.execute(
                script: """
                    INSERT INTO sync.change_log (scope_id, seq, table_id, op, key, version, payload,
                        source_no, source_change_id, content_hash)
                    SELECT l.scope_id, l.seq + \(count), l.table_id, 'U', l.key, l.version + 1,
                        l.payload, 1, l.source_change_id + \(count), l.content_hash
                    FROM sync.change_log l JOIN sync.scope s USING (scope_id)
                    WHERE s.user_id IN (\(names)) AND l.seq <= \(count);
                    UPDATE sync.row_state r SET seq = r.seq + \(count), version = r.version + 1
                    FROM sync.scope s WHERE s.scope_id = r.scope_id AND s.user_id IN (\(names))
                        AND r.seq <= \(count);
                    UPDATE sync.scope SET last_seq = 2 * \(count) WHERE user_id IN (\(names));
                    """)
        }
    }

    private func timed(
        _ part: Part, units: Int, _ bench: Bench,
        _ work: (PostgresConnection) async throws -> Void
    ) async throws -> Measurement {
        try await withConnection(to: bench.floor.url) { connection in
            let before = bench.groups.usage()
            let start = ContinuousClock.now
            try await work(connection)
            return Measurement(
                label: part.rawValue, units: units, requests: 1,
                seconds: (ContinuousClock.now - start) / .seconds(1), latency: nil,
                usage: bench.groups.usage().since(before))
        }
    }
}
