/// What the server must do, in the plainest words: one change after the other, no SQL, no batches.
package struct ModelServer {
    private struct Log {
        var entries: [Entry] = []
        /// The newest change of each row, as an index into the entries.
        var newest: [Place: Int] = [:]
        /// The changes that came under each name, likewise.
        var known: [Name: [Int]] = [:]
    }

    /// What a device calls a change.
    private struct Name: Hashable {
        let device: Device
        let id: Int
    }

    private var logs = Array(repeating: Log(), count: User.allCases.count)
    package private(set) var rows: [Place: Row] = [:]
    /// Notes that the upload at hand has written, or would have, were PostgreSQL to take every row.
    private var written: Set<Int> = []
    /// Notes that later changes of the upload are expected to write, as in a circle, with the first change that
    /// does; and those of these changes that an answer rests on.
    private var expected: [Int: Int] = [:]
    private var reliedOn: Set<Int> = []

    /// The table of pins rounds numbers, so that its rows are others than devices send (P4).
    private let roundsPins: Bool

    package init(roundsPins: Bool = false) { self.roundsPins = roundsPins }

    package func log(of user: User) -> [Entry] { logs[user.rawValue].entries }

    /// The newest change of a row.
    package func newest(_ user: User, _ place: Place) -> Entry? {
        let log = logs[user.rawValue]
        return log.newest[place].map { log.entries[$0] }
    }

    package func version(_ user: User, _ place: Place) -> Int { newest(user, place)?.version ?? 0 }

    /// Whether a row keeps this note from being deleted: any item of it, any other note below it.
    package func isReferenced(_ note: Int) -> Bool {
        rows.contains { place, row in
            row.reference == .note(note) && place.table != .pins && place != Place(.notes, note)
        }
    }

    // MARK: Uploads

    /// An answer for each change.
    package mutating func upload(_ upload: Upload) -> [Answer] {
        let order = ModelOrder.of(upload.changes)
        guard upload.isAtomic else { return answer(upload, order, asksPostgres: true) }
        // Judged as if every row were taken, then with PostgreSQL's word.
        var trial = self
        var answers = trial.answer(upload, order, asksPostgres: false)
        if answers.allSatisfy(\.isApplied) {
            trial = self
            answers = trial.answer(upload, order, asksPostgres: true)
            if answers.allSatisfy(\.isApplied) {
                self = trial
                return answers
            }
        }
        return answers.map { $0.isApplied ? .aborted : $0 }
    }

    /// Notes that point at each other are taken at their word; where one of them was not kept, all is judged again
    /// without it.
    private mutating func answer(
        _ upload: Upload, _ order: [Int], asksPostgres: Bool
    ) -> [Answer] {
        var expected = ModelOrder.notesToCome(upload.changes, order)
        while true {
            var trial = self
            (trial.expected, trial.reliedOn, trial.written) = (expected, [], [])
            let answers = trial.judge(upload, order, asksPostgres: asksPostgres)
            let broken = trial.reliedOn.filter { !answers[order[$0]].isNew }
            if broken.isEmpty {
                self = trial
                return answers
            }
            expected = expected.filter { !broken.contains($0.value) }
        }
    }

    private mutating func judge(
        _ upload: Upload, _ order: [Int], asksPostgres: Bool
    ) -> [Answer] {
        var answers = Array(repeating: Answer.aborted, count: upload.changes.count)
        for (place, index) in order.enumerated() {
            answers[index] = judge(
                upload.changes[index], at: place, upload, asksPostgres: asksPostgres)
        }
        return answers
    }

    private mutating func judge(
        _ change: Change, at position: Int, _ upload: Upload, asksPostgres: Bool
    ) -> Answer {
        if let version = versionOfSame(change, upload) { return .repeated(version: version) }
        let newest = newest(upload.user, change.place)
        var base = change.base
        if let newest, newest.device == upload.device, newest.id == change.id {
            base = newest.version
        }
        if case .note(let note)? = change.payload?.reference, change.place != Place(.notes, note),
            rows[Place(.notes, note)]?.owner != upload.user, !written.contains(note)
        {
            guard let maker = expected[note], maker > position else { return .noteMissing(note) }
            reliedOn.insert(maker)
        }
        guard let newest else {
            if change.kind == .delete { return .nothingToDelete }
            if base != 0 { return .rowMissing }
            return apply(change, upload, version: 1, asksPostgres: asksPostgres)
        }
        guard newest.version == base else { return .conflict(with: newest) }
        return apply(change, upload, version: base + 1, asksPostgres: asksPostgres)
    }

    /// The version that this very change has in the log; nil if it is not there.
    private func versionOfSame(_ change: Change, _ upload: Upload) -> Int? {
        let log = logs[upload.user.rawValue]
        let known = log.known[Name(device: upload.device, id: change.id)] ?? []
        return known.map { log.entries[$0] }.first { $0.hasContent(of: change) }?.version
    }

    private mutating func apply(
        _ change: Change, _ upload: Upload, version: Int, asksPostgres: Bool
    ) -> Answer {
        let place = change.place
        let isOthers = rows[place].map { $0.owner != upload.user } ?? false
        if asksPostgres, let refusal = refusal(of: change, isOthers: isOthers) { return refusal }
        if place.table == .notes, change.kind != .delete { written.insert(place.key) }
        append(
            Entry(
                place: place, kind: change.kind, version: version, device: upload.device,
                id: change.id,
                content: content(
                    of: change, by: upload.user, isStored: asksPostgres && !isOthers),
                sent: change.payload),
            to: upload.user)
        if !isOthers {
            if let payload = change.payload {
                rows[place] = (rows[place] ?? Row(owner: upload.user)).taking(payload)
            } else if rows.removeValue(forKey: place) != nil {
                removePins(on: place)
            }
        }
        return .applied(version: version)
    }

    /// A rounded number makes the entry the stored row.
    private func content(
        of change: Change, by user: User, isStored: Bool
    ) -> Entry.Content {
        guard let payload = change.payload else { return .deleted }
        guard roundsPins, isStored, change.place.table == .pins, payload.number != nil else {
            return .sent(payload)
        }
        let row = (rows[change.place] ?? Row(owner: user)).taking(payload)
        return .stored(row, hasUnknown: payload.hasUnknown)
    }

    /// PostgreSQL's no. The delete of another user's row does nothing.
    private func refusal(of change: Change, isOthers: Bool) -> Answer? {
        guard let payload = change.payload else {
            let isRefused =
                change.place.table == .notes && !isOthers && rows[change.place] != nil
                && isReferenced(change.place.key)
            return isRefused ? .stillReferenced : nil
        }
        if payload.title == Payload.badTitle { return .badTitle }
        return isOthers ? .keyTaken : nil
    }

    private mutating func append(_ entry: Entry, to user: User) {
        let log = user.rawValue
        logs[log].newest[entry.place] = logs[log].entries.count
        if entry.device != .server {
            logs[log].known[Name(device: entry.device, id: entry.id), default: []].append(
                logs[log].entries.count)
        }
        logs[log].entries.append(entry)
    }

    // MARK: Plain SQL

    /// Whether PostgreSQL would take the statement.
    package func allows(_ write: Write) -> Bool {
        switch write {
        case .insert(_, let place, let payload): rows[place] == nil && hasTarget(payload)
        case .update(_, let payload): hasTarget(payload)
        case .delete(let place): place.table != .notes || !isReferenced(place.key)
        }
    }

    private func hasTarget(_ payload: Payload) -> Bool {
        guard case .note(let note)? = payload.reference else { return true }
        return rows[Place(.notes, note)] != nil
    }

    package mutating func write(_ write: Write) {
        switch write {
        case .insert(let owner, let place, let payload):
            rows[place] = Row(owner: owner).taking(payload)
            capture(.insert, place, owner)
        case .update(let place, let payload):
            guard let row = rows[place], row.taking(payload) != row else { return }
            rows[place] = row.taking(payload)
            capture(.update, place, row.owner)
        case .delete(let place):
            guard let row = rows.removeValue(forKey: place) else { return }
            capture(.delete, place, row.owner)
            removePins(on: place)
        }
    }

    /// ON DELETE CASCADE.
    private mutating func removePins(on place: Place) {
        guard place.table == .notes else { return }
        let pins = rows.filter { $0.key.table == .pins && $0.value.reference == .note(place.key) }
        for (pin, row) in pins.sorted(by: { $0.key.key < $1.key.key }) {
            rows[pin] = nil
            capture(.delete, pin, row.owner)
        }
    }

    private mutating func capture(_ kind: Kind, _ place: Place, _ owner: User) {
        append(
            Entry(
                place: place, kind: kind, version: version(owner, place) + 1, device: .server,
                id: 0, content: rows[place].map { .row($0) } ?? .deleted), to: owner)
    }
}

extension ModelServer.Entry {
    /// Whether a change says the same of the same row: a repeat, if the id is the same too.
    package func hasContent(of change: ModelServer.Change) -> Bool {
        if let sent { return place == change.place && sent == change.payload }
        return place == change.place && content == (change.payload.map { .sent($0) } ?? .deleted)
    }
}
