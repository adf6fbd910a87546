import Histogram
import NIOCore

/// How long things are measured.
struct LoadTiming: Sendable {
    /// Caches fill and pools open before anything counts; never longer than what is measured.
    private static let longestWarmUp = 2.0

    /// Seconds of one measurement.
    let seconds: Double
    /// Seconds before it.
    var warmUp: Double

    init(seconds: Double) {
        self.seconds = seconds
        warmUp = min(Self.longestWarmUp, seconds / 2)
    }
}

/// A number of connections, each asking again as soon as it is answered.
struct ClosedLoop: Sendable {
    let target: LoadTarget
    let groups: ProcessGroups

    /// Lets every source ask `requests` times; nothing is measured.
    func play(_ sources: inout [any RequestSource], requests: Int) async throws {
        let (reports, _) = try await run(sources, LoadPhase(), limit: requests) {}
        sources = reports.map(\.source)
    }

    /// Warms up, then measures for the time that is set.
    ///
    /// - Parameters:
    ///   - length: answers that follow each other and count as one in the latencies, by the sum of
    ///     their times; more than 1 only for one connection.
    ///   - mayRefuse: whether 503 is counted, instead of ending the run.
    func measure(
        _ sources: inout [any RequestSource], _ timing: LoadTiming, latencyOf length: Int = 1,
        mayRefuse: Bool = false
    ) async throws -> Measurement {
        let phase = LoadPhase()
        var before = ProcessUsage()
        var after = ProcessUsage()
        var (early, elapsed) = (Duration.zero, Duration.zero)
        let begin = ContinuousClock.now
        let (reports, latency) = try await run(
            sources, phase, limit: nil, latencyOf: length, mayRefuse: mayRefuse
        ) {
            try await Task.sleep(for: .seconds(timing.warmUp))
            before = groups.usage()
            let start = ContinuousClock.now
            early = start - begin
            phase.enter(.measuring)
            try await Task.sleep(for: .seconds(timing.seconds))
            phase.enter(.ending)
            elapsed = ContinuousClock.now - start
            after = groups.usage()
        }
        sources = reports.map(\.source)
        return Measurement(
            units: reports.reduce(0) { $0 + $1.units },
            requests: reports.reduce(0) { $0 + $1.requests },
            refused: reports.reduce(0) { $0 + $1.refused }, seconds: elapsed / .seconds(1),
            warmUpRate: Double(reports.reduce(0) { $0 + $1.earlyUnits }) / (early / .seconds(1)),
            latency: LatencySummary(latency), usage: after.since(before))
    }

    /// Runs the connections until all have ended; meanwhile, once all are connected, `conduct`.
    private func run(
        _ sources: [any RequestSource], _ phase: LoadPhase, limit: Int?, latencyOf length: Int = 1,
        mayRefuse: Bool = false, _ conduct: () async throws -> Void
    ) async throws -> (reports: [ConnectionReport], latency: Histogram<UInt64>) {
        let latency = try await target.eventLoop.submit { [loop = target.eventLoop] in
            NIOLoopBound(LatencyRecord(run: length), eventLoop: loop)
        }.get()
        var ends: [EventLoopFuture<ConnectionReport>] = []
        var channels: [any Channel] = []
        defer { for channel in channels { channel.close(promise: nil) } }
        for source in sources {
            let end = target.eventLoop.makePromise(of: ConnectionReport.self)
            ends.append(end.futureResult)
            do {
                channels.append(
                    try await target.connect {
                        LoadConnection(
                            source, phase, limit: limit, mayRefuse: mayRefuse, latency: latency,
                            end: end)
                    })
            } catch {
                end.fail(error)
                throw error
            }
        }
        try await conduct()
        let reports = try await EventLoopFuture.whenAllSucceed(ends, on: target.eventLoop).get()
        return (reports, try await target.eventLoop.submit { latency.value.histogram }.get())
    }
}
