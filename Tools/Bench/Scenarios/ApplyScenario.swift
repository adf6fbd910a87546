import OperatorKit
import OverSQLite

/// A device applies a page of the feed: parsing, writing and its own books, against the bare writing.
struct ApplyScenario: Scenario {
    private static let rows = 10_000
    /// Files that are made, one after the other, for one measurement.
    private static let repeats = 3
    /// Least share of the bare rate.
    private static let target = 0.6
    /// The number of pages of 1000 rows in the short and the long feed, whose memory is compared.
    private static let pages = (short: 20, long: 100)
    private static let pageRows = 1000
    /// Most bytes of a page on the wire: what a longer feed may add to the memory of a short one.
    private static let memoryTarget = 500.0

    let id = "device-apply"
    let work = "device: apply a page of 10 000 rows"
    let unit = "rows"

    func run(_ bench: Bench) async throws -> ScenarioResult {
        var result = ScenarioResult(self)
        let folder = try DeviceFolder(bench, id)
        defer { folder.remove() }
        let token = try await bench.device(id, "device").token
        let posts = DevicePost.some(Self.rows)
        let feed = CannedFeed(posts, perPage: Self.rows)
        var turn = 0
        (result.ours, result.floor) = try await bench.alternate(
            ours: {
                try await measure(bench) {
                    turn += 1
                    let file = try folder.file("ours-\(turn)")
                    let engine = try folder.engine(
                        file, token: token, feed, pageRows: Self.pageRows)
                    let start = ContinuousClock.now
                    try await engine.fetchChanges()
                    let elapsed = ContinuousClock.now - start
                    try check(file, Self.rows)
                    return elapsed
                }
            },
            floor: {
                try await measure(bench) {
                    turn += 1
                    let database = try BareSQLite(try folder.file("bare-\(turn)"))
                    let start = ContinuousClock.now
                    try database.write(posts)
                    return ContinuousClock.now - start
                }
            })
        result.judge("rows/s", result.ours.rate, to: result.floor.rate, .atLeast(Self.target))
        let short = try await memory(folder, "short", token, pages: Self.pages.short, bench)
        let long = try await memory(folder, "long", token, pages: Self.pages.long, bench)
        result.judgements.append(
            .difference(
                "kB resident after \(Self.pages.long) pages of 1000, beyond \(Self.pages.short)",
                long, from: short, .atMost(Self.memoryTarget)))
        return result
    }

    private func measure(_ bench: Bench, _ once: () async throws -> Duration) async throws
        -> Measurement
    {
        let before = bench.groups.usage()
        var elapsed = Duration.zero
        for _ in 0..<Self.repeats { elapsed += try await once() }
        return Measurement(
            units: Self.rows * Self.repeats, requests: Self.repeats,
            seconds: elapsed / .seconds(1), latency: nil,
            usage: bench.groups.usage().since(before))
    }

    /// How much more memory this process holds, in kB, when a device has read a feed of this many pages. The feed itself
    /// is there before.
    private func memory(
        _ folder: DeviceFolder, _ name: String, _ token: String, pages: Int, _ bench: Bench
    ) async throws -> Double {
        let feed = CannedFeed(
            DevicePost.some(pages * Self.pageRows), perPage: Self.pageRows)
        let file = try folder.file(name)
        let engine = try folder.engine(file, token: token, feed, pageRows: Self.pageRows)
        let before = bench.groups.usage().resident[ProcessUsage.generator] ?? 0
        try await engine.fetchChanges()
        let after = bench.groups.usage().resident[ProcessUsage.generator] ?? 0
        try check(file, pages * Self.pageRows)
        return Double(after - before) / 1000
    }

    private func check(_ file: String, _ rows: Int) throws {
        let found = try BareSQLite(file).count()
        guard found == rows else { throw StackError("\(found) rows applied instead of \(rows)") }
    }
}
