/// How often each thing that ``StoredHistory`` is for really happened.
package struct StoredCensus {
    package enum Event: String, CaseIterable, Sendable {
        // Unique values.
        case placesExchanged, placesExchangedBesideRefused, placeFreedByDelete, placeTaken
        case exchangedAtomically, takenFromOtherUser, plainSQLSwap
        // Stored rows.
        case storedOtherwise, storedAsSent, defaultTaken, storedKept, badRow
        case chainInBatch, chainStoredOtherwise
        // Existing clients.
        case answerLost, editAfterLostAnswer, editBeforeDownload, serverWins, ownChangeComesBack
    }

    private struct Sender: Hashable {
        let user: StoredModel.User
        let device: StoredModel.Device
    }

    package private(set) var counts: [Event: Int] = [:]
    private var cursors: [Sender: Int] = [:]

    package init() {}

    package var lines: [String] {
        Event.allCases.map { "\($0.rawValue) \(counts[$0, default: 0])" }
    }

    package mutating func add(_ history: StoredHistory) {
        var model = StoredModel()
        cursors = [:]
        for step in history.steps {
            let before = model
            switch step {
            case .write(let write):
                if case .swap = write { count(.plainSQLSwap) }
                model.write(write)
            case .page(let user, let device, let cursor):
                let own = model.page(user, device, after: cursor).contains { $0.device == device }
                if own { count(.ownChangeComesBack) }
                cursors[Sender(user: user, device: device)] = model.log(of: user).count
            case .upload(let upload):
                let answers = model.upload(upload)
                count(upload, answers, before, model)
                for (change, answer) in zip(upload.changes, answers) {
                    count(change, answer, upload, before, model)
                }
            }
        }
    }

    private mutating func count(_ event: Event) { counts[event, default: 0] += 1 }

    private mutating func count(
        _ upload: StoredModel.Upload, _ answers: [StoredModel.Answer], _ before: StoredModel,
        _ after: StoredModel
    ) {
        let applied = zip(upload.changes, answers).filter { $1.isNew }.map(\.0)
        let moved = applied.compactMap { change -> Takeover? in
            guard let place = change.place else { return nil }
            return Takeover(row: change.row, place: place, before, upload.user)
        }
        let isExchanged = moved.contains { one in
            one.holder.map { holder in moved.contains { $0.row == holder } } ?? false
        }
        if isExchanged {
            count(.placesExchanged)
            if upload.isAtomic { count(.exchangedAtomically) }
            if answers.contains(StoredModel.placeTaken) { count(.placesExchangedBesideRefused) }
        }
        if moved.contains(where: { $0.holder.map { after.rows[$0] == nil } ?? false }) {
            count(.placeFreedByDelete)
        }
        for row in Set(applied.map(\.row)) where applied.count(where: { $0.row == row }) > 1 {
            count(.chainInBatch)
            let new = after.log(of: upload.user).dropFirst(before.log(of: upload.user).count)
            if new.contains(where: { $0.row == row && $0.isStored }) {
                count(.chainStoredOtherwise)
            }
        }
    }

    /// A row that takes a place, and who had it before the upload.
    private struct Takeover {
        let row: StoredModel.RowName
        let holder: StoredModel.RowName?

        init?(
            row: StoredModel.RowName, place: Int, _ before: StoredModel, _ user: StoredModel.User
        ) {
            guard row.table.isUnique(place) else { return nil }
            self.row = row
            holder =
                before.rows.first {
                    $0.key.table == row.table && $0.key != row && $0.value.place == place
                        && $0.value.owner == user
                }?.key
        }
    }

    private mutating func count(
        _ change: StoredModel.Change, _ answer: StoredModel.Answer, _ upload: StoredModel.Upload,
        _ before: StoredModel, _ after: StoredModel
    ) {
        let newest = before.newest(upload.user, change.row)
        switch answer {
        case .applied(let version):
            guard change.payload != nil else { return }
            let entry = after.log(of: upload.user).last {
                $0.row == change.row && $0.version == version
            }
            count(entry?.isStored == true ? .storedOtherwise : .storedAsSent)
            let null = StoredModel.Column.null
            if before.rows[change.row] == nil {
                if change.payload?[.made] ?? null == null { count(.defaultTaken) }
            } else if change.payload?[.made] == null {
                count(.storedKept)
            }
            guard let newest, newest.device == upload.device else { return }
            if newest.id == change.id { count(.editAfterLostAnswer) }
            let sequence = before.log(of: upload.user).lastIndex(of: newest) ?? 0
            let cursor = cursors[Sender(user: upload.user, device: upload.device)] ?? 0
            if upload.user == .ann, newest.isStored, sequence >= cursor {
                count(.editBeforeDownload)
            }
        case .repeated: count(.answerLost)
        case .conflict: if upload.user == .ann { count(.serverWins) }
        case .refused("23514"): count(.badRow)
        case .refused:
            count(.placeTaken)
            let isOthers = before.rows.contains {
                $0.key.table == change.row.table && $0.value.place == change.place
                    && $0.value.owner != upload.user
            }
            if change.row.table.isOfAllUsers, isOthers { count(.takenFromOtherUser) }
        case .nothingToDelete, .rowMissing, .aborted: break
        }
    }
}
