import Foundation
import GatewayAccess
import Synchronization

/// Counts what devices are answered, and knows when they end.
package final class LoadTally: Sendable {
    /// How long after the end a device may go on sending what was not answered yet.
    static let grace: Duration = .seconds(30)

    private struct State {
        var answers: [Int: Int] = [:]
        var broken: [String: Int] = [:]
        var streamsEnded = 0
        var acknowledged = 0
        var read = 0
        var fatal: [String] = []
        var end: ContinuousClock.Instant?
        var lastAcknowledgement: ContinuousClock.Instant?
        var longestPause: Duration = .zero
    }

    private let state = Mutex(State())

    package init() {}

    /// Nobody begins anything new.
    package var isOver: Bool { state.withLock { $0.end != nil } }
    /// Nobody goes on with anything.
    var isPastGrace: Bool {
        state.withLock { $0.end.map { ContinuousClock.now > $0 + Self.grace } ?? false }
    }

    package func end() { state.withLock { $0.end = $0.end ?? .now } }

    func answered(_ status: Int) { state.withLock { $0.answers[status, default: 0] += 1 } }
    func streamEnded() { state.withLock { $0.streamsEnded += 1 } }
    func read(_ changes: Int) { state.withLock { $0.read += changes } }

    /// Something may not happen to a device: the load ends.
    func fail(_ error: any Error) {
        state.withLock {
            $0.fatal.append("\(error)")
            $0.end = $0.end ?? .now
        }
    }

    /// A request had no answer.
    func broke(_ error: any Error) {
        let kind = connectionTrouble(error)
        state.withLock { $0.broken[kind, default: 0] += 1 }
    }

    /// The server has acknowledged changes.
    package func acknowledged(_ changes: Int) {
        state.withLock { state in
            let now = ContinuousClock.now
            if let last = state.lastAcknowledgement {
                state.longestPause = max(state.longestPause, now - last)
            }
            state.lastAcknowledgement = now
            state.acknowledged += changes
        }
    }

    /// The counts so far.
    func report(seconds: Double) -> LoadReport {
        state.withLock { state in
            LoadReport(
                seconds: seconds, acknowledged: state.acknowledged, read: state.read,
                answers: Dictionary(
                    uniqueKeysWithValues: state.answers.map { ("\($0.key)", $0.value) }),
                brokenConnections: state.broken, streamsEnded: state.streamsEnded,
                longestPauseSeconds: state.longestPause.seconds, fatal: state.fatal)
        }
    }
}

/// What `oversync-dev load` prints.
package struct LoadReport: Codable, Sendable {
    package let seconds: Double
    /// Changes that the server acknowledged; each stands in the file.
    package let acknowledged: Int
    /// Changes that readers got.
    package let read: Int
    /// Answers by status. 429 and 503 had a `Retry-After`, and the request was sent again.
    package let answers: [String: Int]
    /// Requests without an answer, by cause; they were sent again.
    package let brokenConnections: [String: Int]
    /// Streams of events that the server ended or that broke.
    package let streamsEnded: Int
    /// Longest time in which no change was acknowledged.
    package let longestPauseSeconds: Double
    /// What may not happen to a device. Not empty: the command's exit code is 1.
    package let fatal: [String]

    private enum CodingKeys: String, CodingKey {
        case seconds, acknowledged, read, answers, fatal
        case brokenConnections = "broken_connections"
        case streamsEnded = "streams_ended"
        case longestPauseSeconds = "longest_pause_seconds"
    }
}

extension Duration {
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
