import Histogram
import NIOCore
import OperatorKit

/// From a commit on one device to the event on another that watches, on an idle system.
struct EventLatencyScenario: Scenario {
    /// Where the other device watches.
    enum Place { case sameHost, otherHost }

    /// How many ms after the upload's own answer an event may come.
    private var medianTarget: Double { place == .sameHost ? 5 : 50 }
    private var tailTarget: Double { place == .sameHost ? 25 : 100 }
    /// Longest wait for an event, in seconds.
    private static let patience = 10

    let place: Place
    var id: String { place == .sameHost ? "event-latency" : "event-other-host" }
    var work: String {
        "commit on one device to the event on another"
            + (place == .sameHost ? "" : ", at another host's gateway") + ", idle system"
    }
    let unit = "events"

    init(_ place: Place) { self.place = place }

    func run(_ bench: Bench) async throws -> ScenarioResult {
        guard place == .otherHost else { return try await run(bench, bench.target) }
        return try await bench.withOtherHost { target in try await run(bench, target) }
    }

    private func run(_ bench: Bench, _ target: LoadTarget) async throws -> ScenarioResult {
        var result = ScenarioResult(self)
        for turn in 0..<bench.plan.rounds {
            let (upload, event) = try await round(bench, target, user: "\(id)-\(turn)")
            result.ours.append(event)
            result.floor.append(upload)
        }
        if let ours = result.ours.latency, let floor = result.floor.latency {
            result.judgements = [
                .difference(
                    "p50 ms, beyond the upload's", ours.p50, from: floor.p50,
                    .atMost(medianTarget)),
                .difference(
                    "p99 ms, beyond the upload's", ours.p99, from: floor.p99,
                    .atMost(tailTarget)),
            ]
        }
        result.notes.append("the floor is the upload's own latency, one change, one at a time")
        return result
    }

    /// Uploads one change after the other, each when the last one's event has come.
    func round(
        _ bench: Bench, _ target: LoadTarget, user: String
    ) async throws -> (
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
        let channel = try await target.connect {
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
