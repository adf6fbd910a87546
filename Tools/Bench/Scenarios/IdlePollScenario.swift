import NIOCore
import OperatorKit
import Postgres

/// Devices that ask for news when there are none, against nginx that sends as many bytes through TLS.
///
/// Compared is what one processor's second of each server does: the load takes as much time as nginx, so that requests
/// a second would compare the load with itself.
struct IdlePollScenario: Scenario {
    private static let devices = 8
    private static let changes = 50
    /// Least share of nginx's requests for each processor second.
    private static let target = 0.35
    /// Transactions of PostgreSQL each second that polls may not add to: replicas look at all users every half second,
    /// and services see to their own health.
    private static let transactionTarget = 5.0

    /// Until then PostgreSQL's idle back ends have reported what they did before.
    private static let statisticsDelay: Duration = .seconds(11)

    let id = "idle-poll"
    let work = "idle poll, nothing new, 8 at once"
    let unit = "requests"

    func run(_ bench: Bench) async throws -> ScenarioResult {
        var result = ScenarioResult(self)
        var polls: [any RequestSource] = []
        var body = ""
        for index in 0..<Self.devices {
            let device = try await bench.device("\(id)-\(index)", "device")
            let poll = try await head(of: device, bench)
            body = poll.body
            polls.append(
                PollSource(
                    path: poll.path, token: device.token, answersBegin: #"{"changes":[],"#))
        }
        try await Task.sleep(for: Self.statisticsDelay)
        let before = try await transactions(bench)
        let start = ContinuousClock.now
        let nginx = try await StaticServer.start(in: bench.directory, body: body)
        let measured: (ours: [Measurement], floor: [Measurement])
        do {
            measured = try await measure(&polls, nginx, bench)
        } catch {
            await nginx.stop()
            throw error
        }
        await nginx.stop()
        (result.ours, result.floor) = measured
        let transactions = Double(try await transactions(bench) - before)
        let elapsed = (ContinuousClock.now - start) / .seconds(1)
        result.judge(
            "requests per CPU second of the server", perSecond(result.ours) { $0.services },
            to: perSecond(result.floor) { $0.seconds[ProcessUsage.nginx] ?? 0 },
            .atLeast(Self.target))
        result.judgements.append(
            .plain(
                "transactions of PostgreSQL a second, during thousands of polls",
                transactions / elapsed, .atMost(Self.transactionTarget)))
        result.notes.append("answers of \(body.utf8.count) bytes")
        result.judgeGenerator(cores: bench.cores)
        return result
    }

    private func measure(
        _ polls: inout [any RequestSource], _ nginx: StaticServer, _ bench: Bench
    ) async throws -> (ours: [Measurement], floor: [Measurement]) {
        var groups = bench.groups
        groups.nginx = try nginx.processID()
        let floor = ClosedLoop(target: bench.target.with(port: nginx.port), groups: groups)
        var statics: [any RequestSource] = (0..<Self.devices).map { _ in
            PollSource(path: StaticServer.path, token: nil, answersBegin: #"{"changes":[],"#)
        }
        return try await bench.alternate(
            ours: { try await bench.loop.measure(&polls, bench.timing) },
            floor: { try await floor.measure(&statics, bench.timing) })
    }

    private func perSecond(_ all: [Measurement], _ seconds: (ProcessUsage) -> Double) -> Double? {
        all.median { measurement in
            let used = seconds(measurement.usage)
            return used > 0 ? Double(measurement.requests) / used : nil
        }
    }

    /// Gives the user a log and asks from its end.
    private func head(of device: LoadDevice, _ bench: Bench) async throws -> (
        path: String, body: String
    ) {
        let asker = try await Asker(bench.target)
        defer { asker.close() }
        var source = UploadSource(device, .inserts, changes: Self.changes)
        let answer = try await asker.ask(source.next())
        _ = try answer.body.withUnsafeReadableBytes { try source.take($0) }
        let path = "/sync/download?after=\(source.head)&limit=1000"
        let body = String(
            buffer: try await asker.ask(RequestBytes.get(path, token: device.token)).body)
        return (path, body.replacing("\n", with: " "))
    }

    private func transactions(_ bench: Bench) async throws -> Int {
        try await withConnection(to: bench.stack.database) { connection in
            let statement = Statement(
                name: "bench_transactions",
                sql: """
                    SELECT xact_commit + xact_rollback FROM pg_stat_database
                    WHERE datname = current_database()
                    """)
            return Int(try await connection.rows(statement, of: Int64.self).one())
        }
    }
}
