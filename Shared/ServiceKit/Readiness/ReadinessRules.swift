import RPC

/// What the results of the probes come to. A value without clock or tasks.
///
/// A service is ready if each check has answered lately and none has a problem, degraded if no problem is
/// blocking, and otherwise not ready. A check that has not answered yet, that takes longer than it may, or that
/// nobody asked lately is a blocking problem itself: what is not known is not claimed.
struct ReadinessRules {
    typealias Instant = ContinuousClock.Instant

    /// Pause between the answer of a probe and the next one. With the limit of a probe it stays below ``maximumAge``.
    static let interval: Duration = .milliseconds(300)
    /// No answer is believed for longer.
    static let maximumAge: Duration = .seconds(1)

    private struct Entry {
        let name: String
        /// When the probe began that has not answered yet.
        var runningSince: Instant?
        var answer: (problems: [ReadinessProblem], at: Instant)?
    }

    private var entries: [Entry]
    private var isStopping = false

    /// - Parameter names: of the checks, which are numbered by their place.
    init(_ names: [String]) {
        entries = names.map { Entry(name: $0) }
    }

    mutating func began(_ check: Int, now: Instant) {
        entries[check].runningSince = now
    }

    mutating func answered(_ check: Int, _ problems: [ReadinessProblem], now: Instant) {
        entries[check].runningSince = nil
        entries[check].answer = (problems, now)
    }

    /// The process ends: nobody is to send anything any more.
    mutating func stop() { isStopping = true }

    func status(now: Instant) -> ServiceStatus {
        if isStopping { return .notReady("the process is shutting down") }
        var blocking: [String] = []
        var degrading: [String] = []
        for entry in entries {
            for problem in Self.problems(of: entry, now) {
                let text = "\(entry.name): \(problem.text)"
                if problem.isBlocking { blocking.append(text) } else { degrading.append(text) }
            }
        }
        if blocking.isEmpty, degrading.isEmpty { return .ready }
        return ServiceStatus(
            blocking.isEmpty ? .degraded : .notReady, problems: blocking + degrading)
    }

    private static func problems(of entry: Entry, _ now: Instant) -> [ReadinessProblem] {
        if let runningSince = entry.runningSince, now - runningSince >= ReadinessCheck.limit {
            return [.blocking(lateText)]
        }
        guard let answer = entry.answer else { return [.blocking("not known yet")] }
        if entry.runningSince == nil, now - answer.at > maximumAge {
            return [
                .blocking(
                    "not asked within \(maximumAge.wholeMilliseconds) ms: the process has no time for it"
                )
            ]
        }
        return answer.problems
    }

    /// The same text each time: a status that differed by a number would be news all the time.
    static let lateText = "does not answer within \(ReadinessCheck.limit.wholeMilliseconds) ms"
}

extension Duration {
    /// Finer parts are dropped.
    package var wholeMilliseconds: Int64 {
        let (seconds, attoseconds) = components
        return seconds * 1000 + attoseconds / 1_000_000_000_000_000
    }
}
