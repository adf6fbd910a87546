/// One user's rows and log, in memory.
struct GatewayModel: Sendable {
    /// A row's address.
    struct Place: Hashable, Sendable {
        let table: String
        let pk: String
    }

    struct StoredRow: Sendable {
        var version: Int
        var sequence: Int
        /// The payload's text, byte for byte; nil for a tombstone.
        var payload: String?
        /// The columns of the business table. A column that a payload does not name keeps its
        /// value.
        var columns: PayloadColumns = [:]
        /// The device that wrote the row; empty if that is no longer kept.
        var source: String
        var changeID: Int

        var isDeleted: Bool { payload == nil }
    }

    /// An entry of the change log.
    struct Entry: Sendable {
        let sequence: Int
        let place: Place
        let operation: String
        let payload: String?
        let version: Int
        var source: String
        let changeID: Int
        /// The payload as the device sent it.
        let sent: String?
        /// Counts the writes, also those that were lost in a restore: what a server's time is.
        let time: UInt64
    }

    struct Change: Sendable {
        let id: Int
        let place: Place
        let operation: String
        let base: Int
        /// The version that was lost; 0: none.
        var lost = 0
        let payload: String?
        var columns: PayloadColumns = [:]

        var isDelete: Bool { operation == "DELETE" }
    }

    private struct ChangeName: Hashable, Sendable {
        let source: String
        let id: Int
    }

    /// The highest lost version that a device may name.
    static let maximumLostVersion = 1 << 52
    /// The highest change id, base version and cursor.
    static let maximumNumber = 1 << 53 - 1

    private(set) var rows: [Place: StoredRow] = [:]
    private(set) var log: [Entry] = []
    private(set) var lastSequence = 0
    /// Deletes up to this sequence may have been compacted away.
    private(set) var floor = 0
    /// Changes up to this sequence may have been compacted away.
    private(set) var compacted = 0
    /// The changes that were compacted away.
    private var removed: [Entry] = []
    /// The last change, if it was compacted away.
    private(set) var kept: Entry?
    /// The time of the last write.
    private var time: UInt64 = 0
    /// The changes received under each change id; several if a device reused it.
    private var known: [ChangeName: [Entry]] = [:]
    /// The highest change id of each device, kept even if its changes are compacted away.
    private var highest: [String: Int] = [:]
    /// Tables that stored a row otherwise than a device sent it.
    private var returned: Set<String> = []
    /// The sequences of each atomic upload.
    private var atomicUploads: [ClosedRange<Int>] = []

    /// Remembers a device, whatever the outcome of its changes.
    mutating func meet(_ source: String) { highest[source] = highest[source] ?? 0 }

    /// The version with which a repeated change was applied; nil if the change is not a repeat
    /// (V2).
    func versionOfSame(_ change: Change, from source: String) -> Int? {
        known[ChangeName(source: source, id: change.id)]?.first {
            $0.place == change.place && $0.sent == change.payload
        }?.version
    }

    /// The version that a change must be based on: its own base or, if the row was last written
    /// under the same change id, the row's version (V3).
    func base(of change: Change, from source: String) -> Int {
        let earlier = known[ChangeName(source: source, id: change.id)] ?? []
        guard let row = rows[change.place], earlier.contains(where: { $0.sequence == row.sequence })
        else { return change.base }
        return row.version
    }

    /// - Parameter payload: what the table stores; nil for a delete.
    /// - Returns: the row's new version.
    @discardableResult
    mutating func write(_ change: Change, storing payload: String?, from source: String) -> Int {
        let entry = Entry(
            sequence: lastSequence + 1, place: change.place, operation: change.operation,
            payload: payload,
            version: max((rows[change.place]?.version ?? 0) + 1, change.lost),
            source: source, changeID: change.id, sent: change.payload, time: time + 1)
        let columns =
            payload == change.payload
            ? change.columns : payload.map { PayloadColumns(json: $0) } ?? [:]
        add(entry, columns: columns)
        return entry.version
    }

    private mutating func add(_ entry: Entry, columns: PayloadColumns) {
        lastSequence = entry.sequence
        time = max(time, entry.time)
        log.append(entry)
        if entry.payload != entry.sent { returned.insert(entry.place.table) }
        known[ChangeName(source: entry.source, id: entry.changeID), default: []].append(entry)
        highest[entry.source] = max(highest[entry.source] ?? .min, entry.changeID)
        let before = rows[entry.place]?.columns ?? [:]
        rows[entry.place] = StoredRow(
            version: entry.version, sequence: entry.sequence, payload: entry.payload,
            columns: entry.payload == nil ? [:] : before.merging(columns) { $1 },
            source: entry.source, changeID: entry.changeID)
    }

    /// Goes back to the state after a sequence, like a server restored from a backup.
    mutating func restore(to sequence: Int) {
        let whole = atomicUploads.filter { $0.upperBound <= sequence }
        let removed = removed.filter { $0.sequence <= sequence }
        let changes = (removed + log).filter { $0.sequence <= sequence }
        let (time, floor, compacted) = (time, min(floor, sequence), min(compacted, sequence))
        self = GatewayModel()
        atomicUploads = whole
        for entry in changes.sorted(by: { $0.sequence < $1.sequence }) {
            add(entry, columns: entry.payload.map { PayloadColumns(json: $0) } ?? [:])
        }
        // What was compacted away before does not come back.
        (self.time, self.floor, self.compacted) = (time, floor, compacted)
        remove(removed)
    }

    /// Removes replaced changes and deletes from the log.
    mutating func compact() {
        let removed = log.filter {
            rows[$0.place]?.version != $0.version || $0.payload == nil
        }
        floor = removed.filter { $0.payload == nil }.map(\.sequence).max() ?? floor
        compacted = removed.map(\.sequence).max() ?? compacted
        remove(removed)
    }

    private mutating func remove(_ entries: [Entry]) {
        let sequences = Set(entries.map(\.sequence))
        kept = entries.last { $0.sequence == lastSequence } ?? kept
        log.removeAll { sequences.contains($0.sequence) }
        known = known.mapValues { $0.filter { !sequences.contains($0.sequence) } }
        for entry in entries
        where entry.payload == nil && rows[entry.place]?.isDeleted == true {
            rows[entry.place]?.source = ""
            rows[entry.place]?.changeID = 0
        }
        removed += entries
    }

    /// The highest change id of a device; nil if the device is unknown.
    func highestChangeID(of source: String) -> Int? { highest[source] }

    /// Keeps together what was written after a sequence: a page has all of it or nothing.
    mutating func join(after sequence: Int) {
        guard sequence < lastSequence else { return }
        atomicUploads.append(sequence + 1...lastSequence)
    }

    /// The end of a window: not beyond the log's, and not within an atomic upload.
    func window(until: Int?) -> Int {
        let end = min(until ?? lastSequence, lastSequence)
        return atomicUpload(cutAt: end).map { $0.lowerBound - 1 } ?? end
    }

    /// The atomic upload that a page ending at a sequence would cut.
    private func atomicUpload(cutAt end: Int) -> ClosedRange<Int>? {
        atomicUploads.first { $0.contains(end) && end < $0.upperBound }
    }

    /// The entries after `after` up to `until`, at most `limit`, or as many as it takes to the end
    /// of an atomic upload; and whether there are more. Tables that stored a row otherwise than it
    /// was sent are not excluded.
    func page(
        after: Int, until: Int, limit: Int, excluding source: String?,
        of isServed: (String) -> Bool
    ) -> (entries: [Entry], hasMore: Bool) {
        let all = log.filter {
            $0.sequence > after && $0.sequence <= until && isServed($0.place.table)
                && ($0.source != source || returned.contains($0.place.table))
        }
        guard limit < all.count else { return (all, false) }
        let last = all[limit - 1].sequence
        let end = atomicUpload(cutAt: last)?.upperBound ?? last
        let page = all.prefix { $0.sequence <= end }
        return (Array(page), page.count < all.count)
    }
}
