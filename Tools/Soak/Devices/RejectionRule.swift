import OverSQLite

/// Which rejections of a change the soak's own work explains, and which are faults.
///
/// A rejected change is not lost: it stays on the device, shows, and is sent again. But an app
/// whose edits are all legal should not see any. Here they are: a device's rows refer to its own
/// rows alone, it deletes children with their parent, and nobody deletes what all devices edit. So
/// only what the soak does to the server explains a rejection:
///
/// - *postponed*: the row was locked, or took too long. The back end writes the rows that all
///   devices edit, and sessions are cut while they hold locks.
/// - *follows*: a foreign key forbids a change on a device whose change in another table was
///   postponed before. That may have been the deletion of the row's child.
///
/// Whatever the reason, a rejection that stays until the end is a fault.
package struct RejectionRule: Sendable {
    package enum Verdict: Hashable, Sendable {
        case postponed
        case follows
        case unexplained
    }

    /// The SQLSTATEs of rows that are postponed: a lock, and a statement that took too long.
    private static let postponing: Set = ["55P03", "57014"]
    /// A foreign key that does not hold.
    private static let foreignKey = "23503"

    /// - Returns: a verdict for each of a device's rejections, which are in the order in which they
    ///   were reported.
    package static func judge(_ rejections: [RejectedChange]) -> [Verdict] {
        var postponed: Set<String> = []
        return rejections.map { change in
            guard change.reason == "materialize_error", let state = state(of: change) else {
                return .unexplained
            }
            if postponing.contains(state) {
                postponed.insert(change.table)
                return .postponed
            }
            let follows = state == foreignKey && postponed.contains { $0 != change.table }
            return follows ? .follows : .unexplained
        }
    }

    /// The SQLSTATE that PostgreSQL gave; nil if it gave none.
    private static func state(of change: RejectedChange) -> String? {
        guard let found = change.message?.firstMatch(of: /SQLSTATE ([0-9A-Z]{5})\b/) else {
            return nil
        }
        return String(found.1)
    }
}
