import OperatorKit
import Postgres

/// One user with as many devices as it cares to make up: its own pages cost what they did.
struct ManyDevices: Attack {
    private static let devices = 20_000
    private static let rows = 10_000
    private static let rowsPerPage = 100
    private static let most = 1.3
    /// Measurements of each user, in turns, so that what else happens on the machine meets both.
    private static let rounds = 4
    private static let few = "one device p50 ms"
    private static let many = "many devices p50 ms"

    let id = "many-devices"
    let work = "a user with 20 000 devices reads pages"
    /// One reader alone asks more often than a user may: what is measured is the page, not the
    /// limit.
    let settings = ["OVERSYNC_RATE_REQUESTS": "0"]

    func prepare(_ field: SiegeField) async throws -> Assault {
        let users = try await field.readers("attacker", users: 2, changes: Self.rows)
        try await Self.addDevices(to: users[1].user, in: field.database)
        let loop = ClosedLoop(target: field.target, groups: field.groups)
        let timing = LoadTiming(seconds: field.plan.seconds / Double(Self.rounds))
        return {
            var readers = users.map {
                [PageSource($0, limit: Self.rowsPerPage)] as [any RequestSource]
            }
            var seen: [[Measurement]] = [[], []]
            for _ in 0..<Self.rounds {
                for index in readers.indices {
                    seen[index].append(try await loop.measure(&readers[index], timing))
                }
            }
            var report = AttackReport()
            report.answers["200"] = seen.joined().reduce(0) { $0 + $1.requests }
            report.figures[Self.few] = seen[0].latency?.p50
            report.figures[Self.many] = seen[1].latency?.p50
            return report
        }
    }

    func requirements(_ seen: SiegeObservation) -> [Judgement] {
        [seen.victimIsAnswered]
            + seen.figure(
                "its own pages: p50 ms with \(Self.devices) devices, to one", Self.many,
                to: Self.few, .atMost(Self.most))
    }

    private static func addDevices(to user: String, in database: String) async throws {
        try await withConnection(to: database) { connection in
            try await connection.execute(
                script: """
                    INSERT INTO sync.source (scope_id, source_no, device)
                    SELECT scope_id, n, 'made-up-' || n
                    FROM sync.scope, generate_series(2, \(devices)) AS n WHERE user_id = '\(user)'
                    """)
            try await connection.execute(script: "VACUUM ANALYZE sync.source")
        }
    }
}
