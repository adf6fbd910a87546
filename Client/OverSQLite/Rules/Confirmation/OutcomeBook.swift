/// An edit whose outcome the app may want to know.
struct WatchedEdit: Hashable, Sendable {
    let row: TableKey
    /// The number of the edit's touch.
    let revision: Int64
}

/// What a transaction did to an edit, as far as the queue does not show it.
struct RowOutcome: Sendable {
    enum Kind: Sendable {
        /// The server has the row at this revision; later edits are still pending.
        case reached(revision: Int64)
        /// The row's queue entry, which began at `sequence`, was replaced by the server's row.
        case overruled(ConflictReport, sequence: Int64)
        case discarded
    }

    let row: TableKey
    let kind: Kind
}

/// Which edits are watched, and their outcomes. Edits of one row are distinguished by their
/// revisions, which only increase.
struct OutcomeBook {
    /// A row's queue entry.
    struct Entry {
        /// The number of its first touch.
        let sequence: Int64
        /// The rejection, unless the row is about to be sent again.
        let rejection: RejectedChange?
    }

    private struct Watch {
        let edits: [WatchedEdit]
        var outcomes: [ChangeOutcome?]
        var undecided: Int
    }

    private var watches: [UInt64: Watch] = [:]
    /// Indexes into the edits of each watch, by row and watch.
    private var places: [TableKey: [UInt64: [Int]]] = [:]
    private var lastID: UInt64 = 0

    var isEmpty: Bool { watches.isEmpty }

    /// Starts to watch edits.
    mutating func watch(_ edits: [WatchedEdit]) -> UInt64 {
        lastID += 1
        watches[lastID] = Watch(
            edits: edits, outcomes: Array(repeating: nil, count: edits.count),
            undecided: edits.count)
        for (index, edit) in edits.enumerated() {
            places[edit.row, default: [:]][lastID, default: []].append(index)
        }
        return lastID
    }

    mutating func forget(_ id: UInt64) {
        for edit in watches.removeValue(forKey: id)?.edits ?? [] {
            places[edit.row]?[id] = nil
            if places[edit.row]?.isEmpty == true { places[edit.row] = nil }
        }
    }

    /// Rows with watched edits, of one watch or of all.
    func openRows(of id: UInt64? = nil) -> [TableKey] {
        guard let id else { return Array(places.keys) }
        return watches[id]?.edits.map(\.row) ?? []
    }

    func isWatched(_ row: TableKey) -> Bool { places[row] != nil }

    /// The outcome of each edit; nil until every edit has one.
    func outcomes(of id: UInt64) -> [ChangeOutcome]? {
        guard let watch = watches[id], watch.undecided == 0 else { return nil }
        return watch.outcomes.compactMap { $0 }
    }

    /// Records what a transaction did.
    ///
    /// - Returns: the watches that are complete now.
    mutating func record(_ outcome: RowOutcome) -> [UInt64] {
        decide(outcome.row) { edit, before in
            // Only a rejection can be followed by another outcome.
            switch before {
            case nil, .rejected: break
            default: return before
            }
            switch outcome.kind {
            case .reached(let revision): return edit.revision <= revision ? .accepted : before
            case .overruled(let report, let sequence):
                return sequence <= edit.revision ? .overruled(report) : before
            case .discarded: return .discarded
            }
        }
    }

    /// Compares a row with the queue: an edit that is no longer in it was accepted.
    ///
    /// - Returns: the watches that are complete now.
    mutating func compare(_ row: TableKey, with entry: Entry?) -> [UInt64] {
        decide(row) { edit, before in
            switch before {
            case nil, .rejected: break
            default: return before
            }
            // If the entry began after the edit, the edit has already left the queue.
            guard let entry, entry.sequence <= edit.revision else { return .accepted }
            return entry.rejection.map(ChangeOutcome.rejected)
        }
    }

    private mutating func decide(
        _ row: TableKey, _ judge: (WatchedEdit, ChangeOutcome?) -> ChangeOutcome?
    ) -> [UInt64] {
        var ended: [UInt64] = []
        for (id, indexes) in places[row] ?? [:] {
            guard var watch = watches[id] else { continue }
            watches[id] = nil
            let wasUndecided = watch.undecided > 0
            for index in indexes {
                let before = watch.outcomes[index]
                let now = judge(watch.edits[index], before)
                watch.outcomes[index] = now
                watch.undecided += (now == nil ? 1 : 0) - (before == nil ? 1 : 0)
            }
            if wasUndecided, watch.undecided == 0 { ended.append(id) }
            watches[id] = watch
        }
        return ended
    }
}
