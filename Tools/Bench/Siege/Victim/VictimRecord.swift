import Histogram
import Synchronization

/// Where a measurement stands.
enum SiegePhase: String, Codable, Sendable {
    /// Connections and caches are made; nothing counts.
    case warmingUp
    /// Nobody attacks yet.
    case idle
    case during
    case after
}

/// What the other user met in one phase.
struct VictimReport: Codable, Hashable, Sendable {
    /// Of the usual work: uploads, pages and polls.
    var latency: LatencySummary?
    /// Of each kind of work, by its name.
    var latencyOf: [String: LatencySummary] = [:]
    var requests = 0
    /// Requests by what came instead of 200: a status, or what happened.
    var failures: [String: Int] = [:]

    var failed: Int { failures.values.reduce(0, +) }
}

/// Keeps every request of the other user, under the phase in which it began.
final class VictimRecord: Sendable {
    struct Request: Sendable {
        let work: Victim.Work
        /// The status, or what came instead.
        let answer: String
        let microseconds: UInt64
    }

    private struct State {
        var phase = SiegePhase.warmingUp
        var requests: [SiegePhase: [Request]] = [:]
    }

    private let state = Mutex(State())

    var phase: SiegePhase { state.withLock { $0.phase } }

    func enter(_ phase: SiegePhase) { state.withLock { $0.phase = phase } }

    func add(_ request: Request, in phase: SiegePhase) {
        state.withLock { $0.requests[phase, default: []].append(request) }
    }

    func report(_ phase: SiegePhase) -> VictimReport {
        Self.report(state.withLock { $0.requests[phase] ?? [] })
    }

    /// A request that failed counts with the time after which it did.
    static func report(_ requests: [Request]) -> VictimReport {
        var report = VictimReport()
        report.requests = requests.count
        for request in requests where request.answer != "200" {
            report.failures[request.answer, default: 0] += 1
        }
        report.latency = latency(requests.filter { Victim.usualWork.contains($0.work) })
        for (work, own) in Dictionary(grouping: requests, by: \.work) {
            report.latencyOf[work.rawValue] = latency(own)
        }
        return report
    }

    private static func latency(_ requests: [Request]) -> LatencySummary? {
        var histogram = Histogram<UInt64>(numberOfSignificantValueDigits: .three)
        for request in requests { histogram.record(request.microseconds) }
        return LatencySummary(histogram)
    }
}
