import Foundation
import NIOCore
import OperatorKit
import Postgres

/// What the minimum, the idle time and the lifetime of Upload's pool are about: a request after a
/// pause, which finds a connection or has to make one, against the next ones, which find it; and
/// the memory of sessions. Try other values with `--setting`.
struct PoolPauseScenario: Scenario {
    /// Longer than `--setting OVERSYNC_UPLOAD_POOL_IDLE_SECONDS=1`.
    private static let pause = Duration.seconds(3)
    private static let pauses = 10
    private static let warmRequests = 20
    /// Milliseconds that a request after a pause may take longer.
    private static let target = 5.0

    let id = "pool-pause"
    let work = "upload of 1 after a pause of 3 s, against the ones that follow"
    let unit = "requests"
    var askedForBy: String? { "--only \(id)" }

    func run(_ bench: Bench) async throws -> ScenarioResult {
        var result = ScenarioResult(self)
        var source = UploadSource(
            try await bench.device(id, "device"), .inserts, changes: 1)
        let asker = try await Asker(bench.target)
        defer { asker.close() }
        func ask() async throws -> Double {
            let answer = try await asker.ask(source.next())
            return Double((answer.received - answer.sent).nanoseconds) / 1_000_000
        }
        _ = try await ask()
        var (first, others): ([Double], [Double]) = ([], [])
        for _ in 0..<Self.pauses {
            try await Task.sleep(for: Self.pause)
            first.append(try await ask())
            for _ in 0..<Self.warmRequests { others.append(try await ask()) }
        }
        if let first = Median.of(first), let others = Median.of(others) {
            result.judgements = [
                .difference("p50 ms after a pause", first, from: others, .atMost(Self.target))
            ]
        }
        result.hasRate = false
        result.notes = [try await memory(bench)]
        return result
    }

    /// What Upload's sessions have to themselves.
    private func memory(_ bench: Bench) async throws -> String {
        let statement = Statement(
            name: "bench_sessions",
            sql: """
                SELECT pid::int8, extract(epoch FROM now() - backend_start)::int8
                FROM pg_stat_activity WHERE application_name = 'oversync-upload' ORDER BY 1
                """)
        let sessions = try await withConnection(to: bench.stack.database) { connection in
            try await connection.rows(statement) { columns throws(PostgresError) in
                (pid: try columns.next(Int64.self), age: try columns.next(Int64.self))
            }.all()
        }
        let parts = sessions.compactMap { session -> String? in
            let path = "/proc/\(session.pid)/smaps_rollup"
            guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
            let kilobytes = text.split(separator: "\n").filter { $0.hasPrefix("Private_") }
                .compactMap { $0.split(separator: " ").dropFirst().first.flatMap { Int($0) } }
                .reduce(0, +)
            return "\(kilobytes) kB at \(session.age) s"
        }
        return "private memory of Upload's sessions: \(parts.joined(separator: ", "))"
    }
}
