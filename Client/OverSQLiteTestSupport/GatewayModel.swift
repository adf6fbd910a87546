import Foundation

/// One user's rows on a server that keeps them in memory and follows the protocol's upload rules.
struct GatewayModel {
    /// A row's address.
    struct Place: Hashable {
        let table: String
        let pk: String
    }

    struct StoredRow {
        var version: Int
        /// Payload text, byte for byte; nil for a tombstone.
        var payload: String?
        var source: String
        var changeID: Int
    }

    /// An entry of the change log.
    struct Entry {
        let sequence: Int
        let place: Place
        let operation: String
        let payload: String?
        let version: Int
        let source: String
        let changeID: Int
    }

    struct Change {
        let id: Int
        let place: Place
        let operation: String
        let base: Int
        let payload: String?

        var isDelete: Bool { operation == "DELETE" }
    }

    enum Answer {
        case applied(Int?)
        case conflict(StoredRow)
        case invalid(reason: String)
    }

    private struct ChangeName: Hashable {
        let source: String
        let id: Int
    }

    private(set) var rows: [Place: StoredRow] = [:]
    private(set) var log: [Entry] = []
    private(set) var lastSequence = 0
    /// Cursors below it miss deletes that are no longer kept.
    private(set) var floor = 0
    private var known: [ChangeName: Entry] = [:]

    /// Applies one change as protocol v1 decides it: known ids (V2, V3), then the version gate (V9).
    mutating func apply(_ change: Change, from source: String) -> Answer {
        let name = ChangeName(source: source, id: change.id)
        let row = rows[change.place]
        if let entry = known[name] {
            if entry.place == change.place, entry.operation == change.operation,
                entry.payload == change.payload
            {
                return .applied(entry.version)
            }
            if let row, row.source == source, row.changeID == change.id {
                return .applied(write(change, from: source, version: row.version + 1))
            }
        }
        guard let row else {
            if change.isDelete { return .applied(nil) }
            return change.base == 0
                ? .applied(write(change, from: source, version: 1))
                : .invalid(reason: "row_missing")
        }
        guard row.version == change.base else { return .conflict(row) }
        return .applied(write(change, from: source, version: row.version + 1))
    }

    private mutating func write(_ change: Change, from source: String, version: Int) -> Int {
        lastSequence += 1
        let entry = Entry(
            sequence: lastSequence, place: change.place, operation: change.operation,
            payload: change.payload, version: version, source: source, changeID: change.id)
        log.append(entry)
        known[ChangeName(source: source, id: change.id)] = entry
        rows[change.place] = StoredRow(
            version: version, payload: change.payload, source: source, changeID: change.id)
        return version
    }

    /// Goes back to what was after a sequence, as a server that was restored from a backup.
    mutating func restore(to sequence: Int) {
        let kept = log.filter { $0.sequence <= sequence }
        self = GatewayModel()
        for entry in kept { replay(entry) }
    }

    private mutating func replay(_ entry: Entry) {
        lastSequence = entry.sequence
        log.append(entry)
        known[ChangeName(source: entry.source, id: entry.changeID)] = entry
        rows[entry.place] = StoredRow(
            version: entry.version, payload: entry.payload, source: entry.source,
            changeID: entry.changeID)
    }

    /// Forgets what newer changes have replaced, and deletes.
    mutating func compact() {
        let removed = log.filter { rows[$0.place]?.version != $0.version || $0.payload == nil }
        floor = removed.filter { $0.payload == nil }.map(\.sequence).max() ?? floor
        log.removeAll { rows[$0.place]?.version != $0.version || $0.payload == nil }
    }

    /// How the server knows a device: its highest change id.
    func highestChangeID(of source: String) -> Int? {
        known.keys.lazy.filter { $0.source == source }.map(\.id).max()
    }

    /// Entries after `after` and up to `until`, one more than `limit` if there are so many.
    func page(after: Int, until: Int, limit: Int, excluding source: String?) -> [Entry] {
        Array(
            log.lazy.filter { $0.sequence > after && $0.sequence <= until && $0.source != source }
                .prefix(limit + 1))
    }
}
