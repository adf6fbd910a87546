import NIOCore
import Synchronization

/// Devices that watch while nothing happens: what each of them holds in memory, and whether all are still there.
struct WatchersScenario: Scenario {
    /// Most resident bytes of gateway and Download for each watcher, in kB of 1000 bytes.
    private static let target = 30.0
    /// Connections that are made at once.
    private static let handshakes = 32
    /// The number of watchers that get an event in the end.
    private static let woken = 100

    let count: Int
    let id = "watchers"
    var work: String { "\(count) idle watchers" }
    let unit = "watchers"

    func run(_ bench: Bench) async throws -> ScenarioResult {
        var result = ScenarioResult(self)
        var devices: [LoadDevice] = []
        for index in 0..<count {
            devices.append(try await bench.device("\(id)-\(index)", "watcher"))
        }
        let board = WatchBoard()
        let before = bench.groups.usage()
        let channels = try await connect(devices, board, bench)
        defer { for channel in channels { channel.close(promise: nil) } }
        try await board.waitUntilOpen(count)
        let opened = bench.groups.usage()
        let start = ContinuousClock.now
        try await Task.sleep(for: .seconds(bench.timing.seconds))
        let idle = bench.groups.usage()
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        let woken = min(Self.woken, count)
        for index in 0..<woken {
            try await upload(try await bench.device("\(id)-\(index)", "writer"), bench)
        }
        try await board.waitForEvents(woken)
        let dropped = board.dropped.load(ordering: .relaxed)
        board.close()
        result.judgements = [
            .plain("kB resident each", kilobytes(idle.since(before), before), .atMost(Self.target)),
            .plain("dropped", Double(dropped), .atMost(0)),
        ]
        let usage = idle.since(opened)
        result.hasRate = false
        result.ours = [
            Measurement(units: count, requests: woken, seconds: seconds, usage: usage)
        ]
        result.notes.append("\(woken) of them got their event in the end")
        let shares = ["gateway", "download", ProcessUsage.postgres].map { name in
            "\(name) \(Number.text(1000 * (usage.seconds[name] ?? 0) / seconds))"
        }
        result.notes.append("idle, ms of CPU a second: \(shares.joined(separator: ", "))")
        return result
    }

    private func kilobytes(_ now: ProcessUsage, _ before: ProcessUsage) -> Double {
        let grown = ["gateway", "download"].reduce(0) { sum, name in
            sum + (now.resident[name] ?? 0) - (before.resident[name] ?? 0)
        }
        return Double(grown) / 1000 / Double(max(1, count))
    }

    private func connect(
        _ devices: [LoadDevice], _ board: WatchBoard, _ bench: Bench
    ) async throws -> [any Channel] {
        try await withThrowingTaskGroup(of: (any Channel).self) { group in
            var channels: [any Channel] = []
            for (index, device) in devices.enumerated() {
                if index >= Self.handshakes, let channel = try await group.next() {
                    channels.append(channel)
                }
                group.addTask {
                    try await bench.target.connect {
                        WatchConnection(token: device.token, after: 0, board)
                    }
                }
            }
            for try await channel in group { channels.append(channel) }
            return channels
        }
    }

    private func upload(_ device: LoadDevice, _ bench: Bench) async throws {
        let asker = try await Asker(bench.target)
        defer { asker.close() }
        var source = UploadSource(device, .inserts, changes: 1)
        let answer = try await asker.ask(source.next())
        _ = try answer.body.withUnsafeReadableBytes { try source.take($0) }
    }
}
