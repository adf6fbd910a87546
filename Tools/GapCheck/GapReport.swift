import Foundation
import Sidecar

/// What the gap checker has found.
package struct GapReport: Sendable {
    /// Changes in the user's log.
    package let changes: Int64
    /// The first of each reader's and of the database's; none: the promise holds.
    package private(set) var faults: [String] = []
    package private(set) var faultCount = 0
    /// How often processes and connections were killed.
    package let kills: Int
    /// Requests that were sent again.
    package let resent: Int
    /// Changes that the server refused because the back end was first.
    package let conflicts: Int
    private let reports: [FeedReader.Report]
    private let elapsed: Duration
    private let written: GapWriting.Written
    private let verified: Verifier.Summary

    package var isClean: Bool { faultCount == 0 }

    init(
        _ cast: GapCast, _ written: GapWriting.Written, _ reports: [FeedReader.Report],
        elapsed: Duration, server: ServerSide
    ) async throws {
        self.written = written
        self.elapsed = elapsed
        resent = cast.progress.resent + cast.bystanderProgress.resent
        conflicts = (written.user + written.bystander).reduce(0) { $0 + $1.conflicts }
        kills = written.strikes.values.reduce(0, +)
        let bystander = cast.bystanderReader.name
        let user = try await GapJudgement(of: cast.user, written.user, server)
        let other = try await GapJudgement(of: cast.bystander, written.bystander, server)
        let judged =
            user.judge(reports.filter { $0.name != bystander })
            + other.judge(reports.filter { $0.name == bystander })
        changes = user.head
        self.reports = judged
        let (summary, differences) = try await server.verify()
        verified = summary
        for report in judged {
            faultCount += report.check.faultCount
            faults += report.check.faults.map { "\(report.name): \($0)" }
        }
        for judgement in [user, other] { note(judgement.miscount(in: judged)) }
        for follower in cast.followers {
            let judgement = follower.user == cast.user ? user : other
            for fault in try await follower.finish(comparing: judgement.state) { note(fault) }
        }
        faultCount += Int(summary.differences)
        faults += differences
    }

    private mutating func note(_ fault: String?) {
        guard let fault else { return }
        faultCount += 1
        faults.append(fault)
    }

    /// The table and the totals, a line each.
    package var lines: [String] {
        let widths = [18, -10, 5, 9, 7, 8]
        let head = ["reader", "kind", "rows", "changes", "pages", "seconds"]
        let rows = reports.map { report in
            let verdict = report.check.faults.first.map { "\($0)" } ?? "every change once, in order"
            return row(
                [
                    report.name, report.kind.rawValue, "\(report.limit)", "\(report.check.count)",
                    "\(report.pages)", report.elapsed.text,
                ], widths) + "  " + verdict
        }
        let strikes = written.strikes.sorted { $0.key.rawValue < $1.key.rawValue }.map {
            "\($0.value) × \($0.key.rawValue)"
        }
        return [row(head, widths) + "  verdict"] + rows + [
            "\(changes) changes of the user written in \(written.elapsed.text) s, read by all in "
                + "\(elapsed.text) s: \(changes.rate(in: written.elapsed)) written/s, "
                + "\(delivered.rate(in: elapsed)) delivered/s",
            "\(conflicts) conflicts with the back end, \(resent) requests sent again, killed: "
                + (strikes.isEmpty ? "nothing" : strikes.joined(separator: ", ")),
            "verify: \(verified.users) users, \(verified.changes) changes, \(verified.rows) rows: "
                + "\(verified.differences) differences; digests compared on a device of each user",
        ]
    }

    private var delivered: Int64 { reports.reduce(0) { $0 + Int64($1.check.count) } }

    /// Columns of a width; negative: the text stands left.
    private func row(_ cells: [String], _ widths: [Int]) -> String {
        zip(cells, widths).enumerated().map { index, cell in
            let (text, width) = cell
            let space = String(repeating: " ", count: max(0, abs(width) - text.count))
            return index == 0 || width < 0 ? text + space : space + text
        }.joined(separator: " ")
    }
}

extension Duration {
    fileprivate var seconds: Double {
        Double(components.seconds) + Double(components.attoseconds) / 1e18
    }
    fileprivate var text: String { String(format: "%.1f", seconds) }
}

extension Int64 {
    fileprivate func rate(in time: Duration) -> Int {
        Int(Double(self) / Swift.max(0.001, time.seconds))
    }
}
