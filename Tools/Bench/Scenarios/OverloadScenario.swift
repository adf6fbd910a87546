import OperatorKit

/// Whether more devices than the stack can serve at once make it slower: uploads of ever more devices, a reader of
/// another user meanwhile. The measurement begins when all are connected and known.
///
/// The pools bound what PostgreSQL does at once. What does not fit waits until its deadline, and then gets 503.
struct OverloadScenario: Scenario {
    private static let changesPerUpload = 50
    private static let rowsPerPage = 100
    private static let rowsToRead = 20_000
    /// Devices that upload at once. The last wait for longer than the pool lets them.
    private static let crowds = [4, 8, 16, 32, 64, 256, 2000]
    /// Seconds in which the largest crowds come: all connect, and each device and user is new.
    private static let arrival = 10.0
    /// The crowds that need them.
    private static let large = 256
    /// The stack is busy from the fewest devices on that reach this share of the best rate.
    private static let busy = 0.9
    /// How many times the devices that keep it busy are too many.
    private static let overload = 4
    /// Least share of the best rate that is left with too many devices.
    private static let target = 0.8

    let id = "overload"
    let work = "upload, 50 changes a request, up to 2000 devices at once"
    let unit = "changes"

    func run(_ bench: Bench) async throws -> ScenarioResult {
        var result = ScenarioResult(self)
        var reader = try await reader(bench)
        let alone = try await bench.loop.measure(&reader, bench.timing)
        result.notes.append(Self.note("no uploads", alone))
        var rates: [(devices: Int, rate: Double)] = []
        for devices in Self.crowds {
            var writers = try await writers(devices, bench)
            var uploads: [Measurement] = []
            for round in 1...bench.plan.rounds {
                let reading = try await measure(&writers, &reader, bench, into: &uploads)
                guard round == bench.plan.rounds else { continue }
                result.notes.append(Self.note("\(devices) devices upload", reading))
            }
            rates.append((devices, uploads.rate ?? 0))
            result.notes.append(Self.note(devices, uploads))
            result.ours += uploads
        }
        Self.judge(rates, &result)
        result.hasRate = false
        result.judgeGenerator(cores: bench.cores)
        return result
    }

    /// Every crowd that is too large is judged.
    private static func judge(
        _ rates: [(devices: Int, rate: Double)], _ result: inout ScenarioResult
    ) {
        let best = rates.map(\.rate).max() ?? 0
        guard let enough = rates.first(where: { $0.rate >= best * busy })?.devices else { return }
        for crowd in rates where crowd.devices >= enough * overload {
            result.judge(
                "changes/s of \(crowd.devices) devices to the best; \(enough) are enough",
                crowd.rate, to: best, .atLeast(target))
        }
    }

    private func reader(_ bench: Bench) async throws -> [any RequestSource] {
        let preload = Preload(
            prefix: bench.unique(id), users: 1, changesPerUser: Self.rowsToRead)
        try await preload.load(into: bench.stack.database, try await bench.tables())
        return [
            PageSource(
                try await bench.device(ofUser: preload.user(0), "reader"),
                limit: Self.rowsPerPage)
        ]
    }

    /// A number of devices, each of a user of its own.
    private func writers(_ devices: Int, _ bench: Bench) async throws -> [any RequestSource] {
        var writers: [any RequestSource] = []
        for index in 0..<devices {
            let device = try await bench.device("\(id)-\(devices)-\(index)", "device")
            writers.append(UploadSource(device, .inserts, changes: Self.changesPerUpload))
        }
        return writers
    }

    /// - Returns: what the reader sees while all upload.
    private func measure(
        _ writers: inout [any RequestSource], _ reader: inout [any RequestSource], _ bench: Bench,
        into uploads: inout [Measurement]
    ) async throws -> Measurement {
        let (writing, reading) = (writers, reader)
        var timing = bench.timing
        if writers.count >= Self.large { timing.warmUp = Self.arrival }
        async let upload = Self.measured(writing, bench, timing)
        async let read = Self.measured(reading, bench, timing)
        let all = try await (upload: upload, read: read)
        (writers, reader) = (all.upload.sources, all.read.sources)
        uploads.append(all.upload.measurement)
        uploads[uploads.endIndex - 1].label = "\(writers.count) devices"
        return all.read.measurement
    }

    private static func measured(
        _ sources: [any RequestSource], _ bench: Bench, _ timing: LoadTiming
    ) async throws -> (measurement: Measurement, sources: [any RequestSource]) {
        var sources = sources
        let measurement = try await bench.loop.measure(&sources, timing, mayRefuse: true)
        return (measurement, sources)
    }

    private static func note(_ crowd: String, _ reading: Measurement) -> String {
        let latency = reading.latency.map {
            "p50 \(Number.text($0.p50)) ms, p99 \(Number.text($0.p99)) ms"
        }
        return "a reader of 100-row pages while \(crowd): \(latency ?? "not answered")"
    }

    private static func note(_ devices: Int, _ uploads: [Measurement]) -> String {
        let latency = uploads.latency.map {
            ", p50 \(Number.text($0.p50)) ms, p99 \(Number.text($0.p99)) ms"
        }
        let refused = uploads.reduce(0) { $0 + $1.refused }
        // Of the first round: in the others only the connections are new.
        let coming = uploads.first?.warmUpRate.map { "; while they came \(Number.text($0))" }
        return
            "\(devices) devices: \(Number.text(uploads.rate ?? 0)) changes/s\(latency ?? ""), "
            + "\(refused) told 503\(coming ?? "")"
    }
}
