import Foundation
import HTTPTypes
import Model
import Synchronization
import Telemetry
import WireJSON

/// The requests that this gateway answered last, for administrators who look at what happens now.
/// They are in memory alone, hold nothing of rows, and go with the gateway.
final class RecentRequests: Sendable {
    /// Requests that are kept. Names and request ids are short, so that each takes less than 1 kB,
    /// and all of them less than 4 MB.
    static let capacity = 4096

    /// A request and its answer.
    struct Line: Sendable {
        /// When the answer was there, in seconds since 1970.
        var at: TimeInterval = 0
        var user: UserID?
        var device: DeviceID?
        var method = ""
        /// Of the route, and no part of the request.
        var path = ""
        var status = 0
        /// The error's; empty where there is none.
        var code = ""
        /// Without the wait for news.
        var duration: Duration = .zero
        /// Whether it asked for news and there were none.
        var isIdle = false
        var bytesIn: Int?
        /// Nil where the answer is a stream.
        var bytesOut: Int?
        var requestID = ""
        var counts: RequestCounts.Counts?
    }

    /// Which requests are wanted.
    struct Filter: Sendable {
        var user: UserID?
        var device: DeviceID?
        var statuses: ClosedRange<Int>?
        /// Also those that asked for news when there were none.
        var hasIdle = false

        func admits(_ line: Line) -> Bool {
            if line.isIdle, !hasIdle { return false }
            if let user, line.user != user { return false }
            if let device, line.device != device { return false }
            return statuses?.contains(line.status) ?? true
        }
    }

    /// An answer to one who looks.
    struct Look: Sendable {
        /// The number of the last request; the next look begins after it.
        let last: Int64
        /// Requests after the cursor that may be wanted and are not in ``lines``: newer ones have
        /// taken their place, or they are too many.
        let missed: Int64
        /// The oldest first.
        let lines: [(number: Int64, line: Line)]
    }

    private struct State {
        /// Request `n` is at `(n - 1) % capacity`.
        var lines: [Line] = []
        var last: Int64 = 0
    }

    /// Tells this run of this gateway from others: each counts its requests by itself.
    let run = RequestID.fresh()
    private let state = Mutex(State())

    func add(_ line: Line) {
        state.withLock { state in
            if state.lines.count < Self.capacity {
                state.lines.append(line)
            } else {
                state.lines[Int(state.last % Int64(Self.capacity))] = line
            }
            state.last += 1
        }
    }

    /// The newest requests that are wanted.
    ///
    /// - Parameters:
    ///   - cursor: the last request that was seen; nil for one who looks for the first time.
    ///   - limit: the most lines.
    func look(after cursor: Int64?, _ filter: Filter, limit: Int) -> Look {
        state.withLock { state in
            let oldest = state.last - Int64(state.lines.count)
            let start = min(max(cursor ?? 0, oldest), state.last)
            var (wanted, tooMany): ([(Int64, Line)], Int64) = ([], 0)
            // Backwards: who looks often pays for what is new alone.
            for number in stride(from: state.last, to: start, by: -1) {
                let line = state.lines[Int((number - 1) % Int64(Self.capacity))]
                guard filter.admits(line) else { continue }
                if wanted.count < limit { wanted.append((number, line)) } else { tooMany += 1 }
            }
            // Who has not looked before has missed nothing.
            let missed = cursor.map { max(0, oldest - $0) + tooMany } ?? 0
            return Look(last: state.last, missed: missed, lines: wanted.reversed())
        }
    }
}

/// What became of a request's changes, or how many rows it was answered.
final class RequestCounts: Sendable {
    enum Counts: Hashable, Sendable {
        case changes(
            applied: UInt32, duplicates: UInt32, conflicts: UInt32, invalid: UInt32,
            rejected: UInt32)
        case rows(UInt32)
    }

    private let counts = Mutex<Counts?>(nil)

    var value: Counts? { counts.withLock { $0 } }

    func set(_ value: Counts) { counts.withLock { $0 = value } }
}

extension RecentRequests.Line {
    /// As administrators see it.
    func document(_ number: Int64) -> JSONDocument {
        let time = Date(timeIntervalSince1970: at).formatted(
            Date.ISO8601FormatStyle(includingFractionalSeconds: true))
        var members: [(name: String, value: JSONDocument?)] = [
            ("number", .integer(number)), ("at", .string(time)),
            ("user_id", user.map { .string($0.value) }),
            ("source_id", device.map { .string($0.value) }),
            ("method", .string(method)), ("route", .string(path)),
            ("status", .integer(Int64(status))), ("code", code.isEmpty ? nil : .string(code)),
            ("microseconds", .integer(Int64(duration.seconds * 1_000_000))),
            ("is_idle", isIdle ? true : nil),
            ("bytes_in", bytesIn.map { .integer(Int64($0)) }),
            ("bytes_out", bytesOut.map { .integer(Int64($0)) }),
            ("request_id", .string(requestID)),
        ]
        switch counts {
        case .changes(let applied, let duplicates, let conflicts, let invalid, let rejected):
            let all: [(name: String, value: UInt32)] = [
                ("applied", applied), ("duplicate", duplicates), ("conflict", conflicts),
                ("invalid", invalid), ("materialize_error", rejected),
            ]
            members.append(
                ("changes", .object(all.map { ($0.name, .integer(Int64($0.value))) })))
        case .rows(let rows): members.append(("rows", .integer(Int64(rows))))
        case nil: break
        }
        return .object(members)
    }
}
