/// A device as existing Go clients are: it sends rows whole, keeps one pending change for each row,
/// and the server's row wins where both have changed one (the default resolver).
///
/// It learns of rows by its own edits, by answers and by pages; by nothing else.
package struct WholeRowClient {
    package typealias Model = StoredModel

    private struct Known {
        var version = 0
        var isDeleted = false
    }

    private struct Pending {
        var kind: Model.Kind
        var base: Int
        var payload: Model.Values?
        let id: Int
        /// Of the latest edit: pending changes are sent in this order.
        var place: Int
    }

    package let user: Model.User
    package let device: Model.Device
    package private(set) var rows: [Model.RowName: Model.Values] = [:]
    package private(set) var cursor = 0
    private var known: [Model.RowName: Known] = [:]
    private var pending: [Model.RowName: Pending] = [:]
    private var edits = 0
    /// Ids of pending changes that were sent.
    private var sent: Set<Int> = []

    package init(user: Model.User, device: Model.Device) {
        self.user = user
        self.device = device
    }

    package var pendingRows: [Model.RowName] {
        pending.sorted { $0.value.place < $1.value.place }.map(\.key)
    }

    /// Those of them that are no deletes: pages may have taken the row away meanwhile.
    package var pendingUpserts: [Model.RowName] {
        pendingRows.filter { pending[$0]?.payload != nil }
    }

    /// The pending changes, in the order of their latest edits.
    package mutating func send(limit: Int) -> [Model.Change] {
        sent = Set(pending.values.map(\.id))
        return pendingRows.prefix(limit).compactMap { row in
            pending[row].map {
                Model.Change(
                    id: $0.id, kind: $0.kind, row: row, base: $0.base, payload: $0.payload)
            }
        }
    }

    // MARK: The app's edits, as triggers note them

    /// Inserts a row, or changes the columns that are named.
    ///
    /// Every edit has words of its own. Existing clients keep a change's id through later edits:
    /// one that came back to what was sent under the id before would be a repeat (V2).
    package mutating func write(_ row: Model.RowName, _ values: Model.Values) {
        edits += 1
        var values = values
        if values[.word] != Model.Column.badWord { values[.word] = #""e\#(edits)""# }
        let isNew = rows[row] == nil
        rows[row, default: Self.nulls].merge(values) { $1 }
        let old = pending[row]
        let base = known[row]?.version ?? 0
        var kind = isNew ? Model.Kind.insert : .update
        if old?.kind == .insert { kind = .insert }
        pending[row] = Pending(
            kind: kind, base: old?.kind == .insert ? old?.base ?? base : base,
            payload: rows[row], id: old?.id ?? edits, place: edits)
        known[row, default: Known()].isDeleted = false
    }

    /// Does nothing to an inserted row that was sent and waits, or that was deleted before:
    /// existing clients would forget its insert, and the server's row would stay.
    package mutating func delete(_ row: Model.RowName) {
        if let waiting = pending[row], waiting.kind == .insert,
            waiting.base > 0 || sent.contains(waiting.id)
        {
            return
        }
        guard rows.removeValue(forKey: row) != nil else { return }
        edits += 1
        if pending[row]?.kind == .insert {
            pending[row] = nil
            if known[row]?.version == 0 { known[row] = nil }
            return
        }
        pending[row] = Pending(
            kind: .delete, base: known[row]?.version ?? 0, payload: nil,
            id: pending[row]?.id ?? edits, place: edits)
        known[row, default: Known()].isDeleted = true
    }

    private static let nulls = Dictionary(
        uniqueKeysWithValues: Model.Column.allCases.map { ($0, Model.Column.null) })

    // MARK: What the server says

    package mutating func take(_ answers: [Model.Answer], to changes: [Model.Change]) {
        for (change, answer) in zip(changes, answers) {
            switch answer {
            case .applied(let version), .repeated(let version):
                pending[change.row] = nil
                known[change.row] = Known(
                    version: version, isDeleted: change.kind == .delete)
            case .nothingToDelete: pending[change.row] = nil
            case .conflict(let entry):
                pending[change.row] = nil
                set(entry)
            case .rowMissing, .refused, .aborted: break
            }
        }
    }

    /// Applies a page that ends at `next`.
    package mutating func take(_ page: [Model.Entry], next: Int) {
        for (index, entry) in page.enumerated() {
            if entry.payload == nil {
                let isWritten = page[(index + 1)...].contains {
                    $0.row == entry.row && $0.payload != nil
                }
                if isWritten || pending[entry.row]?.kind == .insert { continue }
            } else if let known = known[entry.row], known.isDeleted,
                entry.version <= known.version
            {
                self.known[entry.row]?.version = entry.version
                continue
            }
            set(entry)
        }
        cursor = max(cursor, next)
    }

    private mutating func set(_ entry: Model.Entry) {
        known[entry.row] = Known(version: entry.version, isDeleted: entry.payload == nil)
        rows[entry.row] = entry.payload.map { Self.nulls.merging($0) { $1 } }
    }
}
