import OverSQLite

/// What it costs an app that its writes are noted: the same inserts into a table with and without the capture triggers,
/// by the same C calls, when nothing waits and when very much does.
struct CaptureScenario: Scenario {
    /// Rows of one transaction: the commit's own cost, which is the disk's, counts little.
    private static let rowsPerTransaction = 1000
    private static let transactions = 20
    private static let pending = 100_000
    /// Most of the bare insert's time.
    private static let target = 2.5
    /// Most that the cost of capture may have grown when much is pending: what two measurements of one thing differ by.
    private static let flat = 1.25

    let id = "device-capture"
    let work = "device: capture cost of a local insert"
    let unit = "rows"

    func run(_ bench: Bench) async throws -> ScenarioResult {
        var result = ScenarioResult(self)
        let folder = try DeviceFolder(bench, id)
        defer { folder.remove() }
        let token = try await bench.device(id, "device").token
        var sides: [(label: String, captures: Bool, pending: Int)] = []
        for _ in 0..<bench.plan.rounds {
            for pending in [0, Self.pending] {
                sides.append((Self.label(pending), true, pending))
                sides.append((Self.label(pending), false, pending))
            }
        }
        for (turn, side) in sides.enumerated() {
            let file = try folder.file("\(turn)")
            // What the engine installs stays in the file.
            let engine =
                side.captures
                ? try folder.engine(file, token: token, CannedFeed([], perPage: 1), pageRows: 1)
                : nil
            if side.pending > 0 {
                try BareSQLite(file).write(DevicePost.some(side.pending))
                // As after a look at what waits: the notes of the writes are folded into the queue.
                try await engine?.start()
                await engine?.stop()
            }
            var measurement = try inserts(into: file, after: side.pending, bench)
            measurement.label = side.label
            if side.captures {
                result.ours.append(measurement)
            } else {
                result.floor.append(measurement)
            }
        }
        judge(&result)
        return result
    }

    private func judge(_ result: inout ScenarioResult) {
        for pending in [0, Self.pending] {
            result.judge(
                "µs an insert, \(Self.label(pending))", time(result.ours, pending),
                to: time(result.floor, pending), .atMost(Self.target))
        }
        result.judge(
            "times the bare insert, \(Self.pending) pending to none", factor(result, Self.pending),
            to: factor(result, 0), .atMost(Self.flat))
    }

    private func factor(_ result: ScenarioResult, _ pending: Int) -> Double? {
        guard let ours = time(result.ours, pending), let floor = time(result.floor, pending) else {
            return nil
        }
        return ours / floor
    }

    private func time(_ all: [Measurement], _ pending: Int) -> Double? {
        all.filter { $0.label == Self.label(pending) }
            .median { $0.seconds * 1_000_000 / Double($0.units) }
    }

    private static func label(_ pending: Int) -> String { "\(pending) pending" }

    private func inserts(into file: String, after pending: Int, _ bench: Bench) throws
        -> Measurement
    {
        let database = try BareSQLite(file)
        // Else the log of what was there before would be written back by the inserts that are measured.
        try database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        var elapsed = Duration.zero
        let before = bench.groups.usage()
        for turn in 0..<Self.transactions {
            let posts = DevicePost.some(
                Self.rowsPerTransaction, from: pending + turn * Self.rowsPerTransaction)
            let start = ContinuousClock.now
            try database.write(posts)
            elapsed += ContinuousClock.now - start
        }
        return Measurement(
            units: Self.transactions * Self.rowsPerTransaction, requests: Self.transactions,
            seconds: elapsed / .seconds(1), latency: nil,
            usage: bench.groups.usage().since(before))
    }
}
