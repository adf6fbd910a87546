import Foundation

/// Compares acknowledged changes with the users' logs: what is lost or doubled.
package struct AcknowledgedReport: Codable, Hashable, Sendable {
    /// One change as a log has it.
    package struct Entry: Hashable, Sendable {
        package var sequence: Int64
        package var device: String
        package var id: Int
        package var row: String
        package var version: Int

        package init(sequence: Int64, device: String, id: Int, row: String, version: Int) {
            self.sequence = sequence
            self.device = device
            self.id = id
            self.row = row
            self.version = version
        }
    }

    /// The most faults that are listed; more are counted.
    private static let toldFaults = 20

    package private(set) var users = 0
    /// Changes in the users' logs.
    package private(set) var changes = 0
    package private(set) var acknowledged = 0
    /// Acknowledged changes that no log has, or has with another row or version.
    package private(set) var lost = 0
    /// Changes that a log has more than once.
    package private(set) var doubled = 0
    /// Places where a log's sequence does not go up by one.
    package private(set) var gaps = 0
    /// The first of all these.
    package private(set) var faults: [String] = []

    package init() {}

    /// Each acknowledged change is in its log once, and each log is whole.
    package var isClean: Bool { lost + doubled + gaps == 0 }

    private struct Source: Hashable {
        let device: String
        let id: Int
    }

    /// Takes one user's acknowledged changes and whole log.
    package mutating func take(
        _ user: String, _ acknowledged: [PersistentDevice.Acknowledged], log: [Entry]
    ) {
        users += 1
        changes += log.count
        self.acknowledged += acknowledged.count
        var last: Int64 = 0
        for entry in log {
            if entry.sequence != last + 1 {
                gaps += 1
                note("gap: \(user)'s log goes from \(last) to \(entry.sequence)")
            }
            last = entry.sequence
        }
        let bySource = Dictionary(grouping: log) { Source(device: $0.device, id: $0.id) }
        for (source, entries) in bySource where entries.count > 1 {
            doubled += 1
            note("doubled: change \(source.id) of \(source.device) of \(user)")
        }
        for change in acknowledged {
            let found = bySource[Source(device: change.device, id: change.id)] ?? []
            if found.contains(where: { $0.row == change.row && $0.version == change.version }) {
                continue
            }
            lost += 1
            note(
                "lost: change \(change.id) of \(change.device) of \(user), row \(change.row) at version "
                    + "\(change.version); the log has "
                    + (found.first.map { "row \($0.row) at version \($0.version)" } ?? "nothing"))
        }
    }

    private mutating func note(_ fault: String) {
        if faults.count < Self.toldFaults { faults.append(fault) }
    }
}
