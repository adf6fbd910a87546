import OverSQLite
import Synchronization

/// What an engine reports: rejections, which are judged at the end, and what may not happen at all.
final class Alarms: Sendable {
    /// Texts and rejections that are kept.
    private static let most = 1000

    private struct Seen {
        var rejections: [RejectedChange] = []
        var others: [String] = []
        /// What was too much to be kept.
        var omitted = 0
    }

    private let shared: Set<String>
    private let seen = Mutex(Seen())

    /// - Parameter shared: the keys of the rows that all devices edit.
    init(shared: [String]) { self.shared = Set(shared) }

    var rejections: [RejectedChange] { seen.withLock { $0.rejections } }

    /// What may not happen, whatever the cause.
    var texts: [String] {
        seen.withLock { seen in
            seen.others + (seen.omitted > 0 ? ["and \(seen.omitted) more events"] : [])
        }
    }

    func see(_ event: SyncEvent) {
        seen.withLock { seen in
            // Nobody else edits a row of the device's own.
            if case .conflict(let report) = event, shared.contains(report.key) { return }
            guard seen.rejections.count + seen.others.count < Self.most else {
                seen.omitted += 1
                return
            }
            switch event {
            case .rejected(let change): seen.rejections.append(change)
            case .conflict, .reread, .drift, .access: seen.others.append("\(event)")
            }
        }
    }
}
