import Histogram
import NIOCore
import Synchronization

/// What an attack was answered.
struct AttackReport: Codable, Sendable {
    /// How often each status came, and what came instead of one.
    var answers: [String: Int] = [:]
    /// Answers 429 and 503 that did not say when to come back.
    var withoutRetryAfter = 0
    var latency: LatencySummary?
    /// The longest wait for each status, in milliseconds.
    var longest: [String: Double] = [:]
    /// What this attack alone has to tell, by name.
    var figures: [String: Double] = [:]

    func count(_ answer: String) -> Int { answers[answer] ?? 0 }

    /// Statuses of faults: 5xx but for 503, which asks to come back.
    var faults: Int {
        answers.reduce(0) { $0 + ($1.key.hasPrefix("5") && $1.key != "503" ? $1.value : 0) }
    }

    var all: Int { answers.values.reduce(0, +) }
}

/// Counts what all connections of an attack are answered.
final class AttackRecord: Sendable {
    /// When the attack ended, the answer was still to come.
    static let unanswered = "unanswered"

    private struct State {
        var report = AttackReport()
        var histogram = Histogram<UInt64>(numberOfSignificantValueDigits: .three)
    }

    private let state = Mutex(State())

    func answered(_ answer: AttackAnswer, after time: TimeAmount) {
        count("\(answer.status)", after: time)
        guard answer.status == 429 || answer.status == 503, answer.retryAfter == nil,
            !answer.isStatusAlone
        else { return }
        state.withLock { $0.report.withoutRetryAfter += 1 }
    }

    /// The attack ended before the answer came.
    func cut(after time: TimeAmount) { count(Self.unanswered, after: time) }

    /// The gateway ended an answer that had begun.
    func ended(_ how: String, after time: TimeAmount) { count(how, after: time) }

    /// There was no answer, or no connection.
    func failed(_ trouble: String) {
        state.withLock { $0.report.answers[trouble, default: 0] += 1 }
    }

    func figure(_ name: String, _ value: Double) {
        state.withLock { $0.report.figures[name] = value }
    }

    var report: AttackReport {
        state.withLock { state in
            var report = state.report
            report.latency = LatencySummary(state.histogram)
            return report
        }
    }

    private func count(_ answer: String, after time: TimeAmount) {
        let microseconds = UInt64(max(0, time.nanoseconds / 1000))
        state.withLock { state in
            state.report.answers[answer, default: 0] += 1
            let longest = state.report.longest[answer] ?? 0
            state.report.longest[answer] = max(longest, Double(microseconds) / 1000)
            if answer != Self.unanswered { state.histogram.record(microseconds) }
        }
    }
}

/// The head of an answer, as far as an attack looks at it.
struct AttackAnswer: Hashable, Sendable {
    let status: Int
    var retryAfter: Int?
    /// Whether the other fields of the head were not read.
    var isStatusAlone = false
}
