import DevStack
import Histogram
import NIOCore

/// From a commit on one device to the event on another that watches, on an idle system.
struct EventLatencyScenario: Scenario {
    /// An event may come so many ms after the upload's own answer.
    private static let medianTarget = 5.0
    private static let tailTarget = 25.0
    /// Longest wait for an event, in seconds.
    private static let patience = 10

    let id = "event-latency"
    let work = "commit on one device to the event on another, idle system"
    let unit = "events"

    func run(_ bench: Bench) async throws -> ScenarioResult {
        var result = ScenarioResult(self)
        for turn in 0..<bench.plan.rounds {
            let (upload, event) = try await round(bench, user: "\(id)-\(turn)")
            result.ours.append(event)
            result.floor.append(upload)
        }
        if let ours = result.ours.latency, let floor = result.floor.latency {
            result.judgements = [
                .difference(
                    "p50 ms, beyond the upload's", ours.p50, from: floor.p50,
                    .atMost(Self.medianTarget)),
                .difference(
                    "p99 ms, beyond the upload's", ours.p99, from: floor.p99,
                    .atMost(Self.tailTarget)),
            ]
        }
        result.notes.append("the floor is the upload's own latency, one change, one at a time")
        return result
    }

    /// Uploads one change after the other, each when the last one's event has come.
    private func round(_ bench: Bench, user: String) async throws -> (
        upload: Measurement, event: Measurement
    ) {
        let writer = try await bench.device(user, "writer")
        let watcher = try await bench.device(user, "watcher")
        var source = UploadSource(writer, .inserts, changes: 1)
        let asker = try await Asker(bench.target)
        defer { asker.close() }
        _ = try await upload(&source, asker)
        let board = WatchBoard()
        let head = source.head
        let channel = try await bench.target.connect {
            WatchConnection(token: watcher.token, after: head, board)
        }
        defer { channel.close(promise: nil) }
        try await board.waitUntilOpen(1)
        var events = board.stream.makeAsyncIterator()
        var uploads = Histogram<UInt64>(numberOfSignificantValueDigits: .three)
        var arrivals = Histogram<UInt64>(numberOfSignificantValueDigits: .three)
        let watchdog = channel.eventLoop.scheduleTask(
            in: .seconds(Int64(bench.plan.seconds) + Int64(Self.patience))
        ) { board.close() }
        let before = bench.groups.usage()
        let start = ContinuousClock.now
        while ContinuousClock.now - start < .seconds(bench.timing.seconds) {
            let answer = try await upload(&source, asker)
            var event = await events.next()
            while let seen = event, seen.head < source.head { event = await events.next() }
            guard let event else { throw StackError("an event did not come") }
            uploads.record(Self.microseconds(answer.received - answer.sent))
            arrivals.record(Self.microseconds(event.at - answer.sent))
        }
        watchdog.cancel()
        board.close()
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        let usage = bench.groups.usage().since(before)
        func measurement(_ histogram: Histogram<UInt64>) -> Measurement {
            Measurement(
                units: Int(histogram.totalCount), requests: Int(histogram.totalCount),
                seconds: seconds, latency: LatencySummary(histogram), usage: usage)
        }
        return (measurement(uploads), measurement(arrivals))
    }

    private func upload(_ source: inout UploadSource, _ asker: Asker) async throws -> Asker.Answer {
        let answer = try await asker.ask(source.next())
        _ = try answer.body.withUnsafeReadableBytes { try source.take($0) }
        return answer
    }

    private static func microseconds(_ time: TimeAmount) -> UInt64 {
        UInt64(max(0, time.nanoseconds / 1000))
    }
}
