extension StoredModel {
    /// Whether the answers are the same in whatever order and sets the upload's rows are written.
    ///
    /// A row that is written must not have a change that conflicts, too: where that is tried again,
    /// it meets what was written.
    package func isDecidable(_ upload: Upload) -> Bool {
        // A seat that is taken only until the commit is no one's to refuse, or is, by the set.
        let isPassing = upload.changes.contains { change in
            change.row.table == .seats && change.payload != nil
                && upload.changes.contains { $0.row == change.row && $0.kind == .delete }
        }
        if isPassing { return false }
        var trial = self
        let answers = trial.judge(upload, Self.order(upload.changes), .nothing)
        let isNew = Set(zip(upload.changes, answers).filter { $1.isNew }.map(\.0.row))
        if zip(upload.changes, answers).contains(where: { isNew.contains($0.row) && !$1.isApplied })
        {
            return false
        }
        return hasOneWinner(upload)
    }

    /// Whether it is plain who gets a place that several rows want.
    ///
    /// Where two rows of an upload want one place, the first that is written gets it; which that
    /// is, depends on how rows are put into statements if they are of different kinds, and on how
    /// an upload is halved where places are checked at the commit.
    private func hasOneWinner(_ upload: Upload) -> Bool {
        struct Wanted: Hashable {
            let table: Table
            let place: Int
        }
        var counts: [RowName: Int] = [:]
        for change in upload.changes { counts[change.row, default: 0] += 1 }
        var first: [Wanted: Change] = [:]
        for change in upload.changes where change.payload != nil {
            guard let place = change.place, change.row.table.isUnique(place) else { continue }
            let wanted = Wanted(table: change.row.table, place: place)
            guard let other = first[wanted] else {
                first[wanted] = change
                continue
            }
            if other.row == change.row { continue }
            let isAlike =
                change.row.table != .seats && counts[change.row] == 1 && counts[other.row] == 1
                && other.written == change.written
                && (rows[other.row] == nil) == (rows[change.row] == nil)
            if !isAlike { return false }
        }
        return true
    }
}

extension StoredModel.Change {
    /// The columns that a statement for it names: rows of one statement have the same.
    fileprivate var written: Set<StoredModel.Column> {
        Set((payload ?? [:]).filter { !StoredModel.isAsAbsent($1, $0) }.keys)
    }
}
