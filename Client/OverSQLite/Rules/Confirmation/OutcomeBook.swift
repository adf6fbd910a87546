/// An edit whose outcome somebody may want to know.
struct WatchedEdit: Hashable, Sendable {
    let row: TableKey
    /// Number of the edit's touch.
    let revision: Int64
}

/// What a transaction of sync has done to an edit, as far as the queue no longer shows it.
struct RowOutcome: Sendable {
    enum Kind: Sendable {
        /// The server has the row as it was at this revision, though it waits with later edits.
        case reached(revision: Int64)
        /// The row's entry in the queue, begun at `sequence`, gave way to the server's row.
        case overruled(ConflictReport, sequence: Int64)
        case discarded
    }

    let row: TableKey
    let kind: Kind
}

/// Which edits are watched and what became of them. Edits of one row are told apart by their
/// revisions, which only ever rise.
struct OutcomeBook {
    /// A row's entry in the queue.
    struct Entry {
        /// Number of its first touch.
        let sequence: Int64
        /// Set if it was refused and is not about to be sent again.
        let rejection: RejectedChange?
    }

    private struct Watch {
        let edits: [WatchedEdit]
        var outcomes: [ChangeOutcome?]
        var undecided: Int
    }

    private var watches: [UInt64: Watch] = [:]
    /// Places among the edits of each watch, by row and watch.
    private var places: [TableKey: [UInt64: [Int]]] = [:]
    private var lastID: UInt64 = 0

    var isEmpty: Bool { watches.isEmpty }

    /// Begins to watch edits.
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

    /// Rows with edits that may still come to something else, of one watch or of all.
    func openRows(of id: UInt64? = nil) -> [TableKey] {
        guard let id else { return Array(places.keys) }
        return watches[id]?.edits.map(\.row) ?? []
    }

    func isWatched(_ row: TableKey) -> Bool { places[row] != nil }

    /// What became of each edit; nil until every one has come to something.
    func outcomes(of id: UInt64) -> [ChangeOutcome]? {
        guard let watch = watches[id], watch.undecided == 0 else { return nil }
        return watch.outcomes.compactMap { $0 }
    }

    /// Takes in what a transaction did.
    ///
    /// - Returns: the watches that came to their end.
    mutating func record(_ outcome: RowOutcome) -> [UInt64] {
        decide(outcome.row) { edit, before in
            // A refusal is the one outcome that another can follow.
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

    /// Compares with the queue: what is no longer in it was accepted.
    ///
    /// - Returns: the watches that came to their end.
    mutating func compare(_ row: TableKey, with entry: Entry?) -> [UInt64] {
        decide(row) { edit, before in
            switch before {
            case nil, .rejected: break
            default: return before
            }
            // An entry begun after the edit is of a later edit: this one had left the queue.
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
