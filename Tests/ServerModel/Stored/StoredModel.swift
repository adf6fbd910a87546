/// What the server must do with unique values, defaults, and columns that do not keep what is sent.
///
/// As plain as ``ModelServer``: no SQL. Of batches it knows that changes which only fit together
/// are taken together (K5), and that the rest is taken one by one. The order of the log within a
/// step it leaves open, but for each row's versions.
package struct StoredModel {
    private struct Log {
        var entries: [Entry] = []
        var newest: [RowName: Int] = [:]
        /// Tables with a row that came out otherwise than it was sent: own changes come back.
        var returned: Set<Table> = []
    }

    private var logs = Array(repeating: Log(), count: User.allCases.count)
    package private(set) var rows: [RowName: Row] = [:]

    package init() {}

    package func log(of user: User) -> [Entry] { logs[user.rawValue].entries }

    package func newest(_ user: User, _ row: RowName) -> Entry? {
        logs[user.rawValue].newest[row].map { logs[user.rawValue].entries[$0] }
    }

    package func returns(_ table: Table, to user: User) -> Bool {
        logs[user.rawValue].returned.contains(table)
    }

    /// What a device gets that asks for no changes of its own.
    package func page(_ user: User, _ device: Device, after cursor: Int) -> [Entry] {
        log(of: user).dropFirst(cursor).filter {
            $0.device != device || returns($0.row.table, to: user)
        }
    }

    // MARK: Uploads

    /// An answer for each change.
    package mutating func upload(_ upload: Upload) -> [Answer] {
        let order = Self.order(upload.changes)
        guard upload.isAtomic else { return take(upload, order) }
        // Judged as if every row were taken as it was sent, then with PostgreSQL's word.
        var trial = self
        var answers = trial.judge(upload, order, .nothing)
        if answers.allSatisfy(\.isApplied) {
            trial = self
            answers = trial.take(upload, order)
            if answers.allSatisfy(\.isApplied) {
                self = trial
                return answers
            }
        }
        return answers.map { $0.isApplied ? .aborted : $0.shownAsSent(after: self) }
    }

    /// Upserts as they were sent, then deletes, the tables' in reverse order of their names.
    static func order(_ changes: [Change]) -> [Int] {
        let deletes = [Table.spots, .slots, .seats].flatMap { table in
            changes.indices.filter { changes[$0].kind == .delete && changes[$0].row.table == table }
        }
        return changes.indices.filter { changes[$0].kind != .delete } + deletes
    }

    /// What fits together is taken together, as often as something is; what PostgreSQL refused is
    /// tried again one by one.
    private mutating func take(_ upload: Upload, _ order: [Int]) -> [Answer] {
        var answers = Array(repeating: Answer.aborted, count: upload.changes.count)
        var open = order
        while let (judged, set) = takeSet(upload, open) {
            for index in judged { answers[index] = set[index] }
            if !judged.contains(where: { set[$0].isNew }) { break }
            open.removeAll(where: judged.contains)
        }
        for index in open {
            answers[index] = judge(upload, [index], .all)[index]
        }
        return answers
    }

    /// The largest part of the changes that fits together: rows are left out that PostgreSQL
    /// refuses, and those that need what they keep.
    ///
    /// - Returns: nil if nothing is left.
    private mutating func takeSet(
        _ upload: Upload, _ open: [Int]
    ) -> (judged: [Int], answers: [Answer])? {
        var bad: Set<RowName> = []
        while true {
            let set = open.filter { !bad.contains(upload.changes[$0].row) }
            if set.isEmpty { return nil }
            var trial = self
            let answers = trial.judge(upload, set, .storing)
            let accepted = set.filter { answers[$0].isNew }
            let found = misfits(upload, accepted)
            if found.isEmpty {
                self = trial
                return (set, answers)
            }
            bad.formUnion(found)
        }
    }

    /// Rows that PostgreSQL refuses, were the changes written with every place of theirs free.
    private func misfits(_ upload: Upload, _ accepted: [Int]) -> Set<RowName> {
        let changes = upload.changes
        var bad: Set<RowName> = []
        let moving = Set(accepted.map { changes[$0].row })
        var holders: [Claim: RowName] = [:]
        var held: [RowName: Claim] = [:]
        for (name, row) in rows where !moving.contains(name) {
            if let claim = Claim(name, row.place, row.owner) { holders[claim] = name }
        }
        for index in accepted {
            let change = changes[index]
            guard change.payload != nil else {
                if let claim = held.removeValue(forKey: change.row) { holders[claim] = nil }
                continue
            }
            if refusal(change) != nil {
                bad.insert(change.row)
                continue
            }
            let claim = change.place.flatMap { Claim(change.row, $0, upload.user) }
            if let claim, let holder = holders[claim], holder != change.row {
                bad.insert(change.row)
                continue
            }
            if let old = held[change.row] { holders[old] = nil }
            held[change.row] = claim
            if let claim { holders[claim] = change.row }
        }
        return bad
    }

    /// A place that one row alone may have.
    private struct Claim: Hashable {
        let table: Table
        let place: Int
        let owner: User?

        init?(_ row: RowName, _ place: Int, _ owner: User) {
            guard row.table.isUnique(place) else { return nil }
            table = row.table
            self.place = place
            self.owner = row.table.isOfAllUsers ? nil : owner
        }
    }

    /// What PostgreSQL is asked about.
    enum Question {
        case nothing
        /// What it makes of the rows.
        case storing
        /// Whether it takes them, too.
        case all
    }

    mutating func judge(
        _ upload: Upload, _ order: [Int], _ question: Question
    ) -> [Answer] {
        var answers = Array(repeating: Answer.aborted, count: upload.changes.count)
        for index in order {
            answers[index] = judge(upload.changes[index], upload, question)
        }
        return answers
    }

    private mutating func judge(
        _ change: Change, _ upload: Upload, _ question: Question
    ) -> Answer {
        let known = log(of: upload.user).first {
            $0.device == upload.device && $0.id == change.id && $0.isRepeated(by: change)
        }
        if let known { return .repeated(version: known.version) }
        guard let newest = newest(upload.user, change.row) else {
            if change.kind == .delete { return .nothingToDelete }
            return change.base == 0
                ? apply(change, upload, version: 1, question) : .rowMissing
        }
        let isSucceeded = newest.device == upload.device && newest.id == change.id
        guard newest.version == change.base || isSucceeded else { return .conflict(with: newest) }
        return apply(change, upload, version: newest.version + 1, question)
    }

    private mutating func apply(
        _ change: Change, _ upload: Upload, version: Int, _ question: Question
    ) -> Answer {
        let old = rows[change.row]
        if question == .all {
            if let code = refusal(change) { return .refused(code) }
            if let place = change.place, let claim = Claim(change.row, place, upload.user),
                rows.contains(where: {
                    $0 != change.row && Claim($0, $1.place, $1.owner) == claim
                })
            {
                return Self.placeTaken
            }
        }
        let (row, isOther) = stored(change, over: old, by: upload.user)
        let differs = isOther && question != .nothing
        rows[change.row] = row
        append(
            Entry(
                row: change.row, kind: change.kind, version: version, device: upload.device,
                id: change.id, payload: differs ? row?.values : change.payload,
                hasUnknown: change.hasUnknown, isStored: differs, sent: change),
            to: upload.user)
        if differs { logs[upload.user.rawValue].returned.insert(change.row.table) }
        return .applied(version: version)
    }

    /// PostgreSQL's no to a row by itself.
    private func refusal(_ change: Change) -> String? {
        change.payload?[.word] == Column.badWord ? "23514" : nil
    }

    /// The row that a change leaves, and whether it is another one than the payload says.
    private func stored(
        _ change: Change, over old: Row?, by user: User
    ) -> (row: Row?, differs: Bool) {
        guard let payload = change.payload else { return (nil, false) }
        var row = old ?? Self.new(owner: user)
        var differs = false
        for column in Column.allCases {
            guard let sent = payload[column] else {
                if old == nil, row.values[column] != Column.null { differs = true }
                continue
            }
            if Self.isAsAbsent(sent, column) {
                differs = true
                continue
            }
            let (value, isOther) = column.store(sent)
            row.values[column] = value
            if isOther { differs = true }
        }
        return (row, differs)
    }

    /// Where NULL cannot be stored, a null is the default in a new row and changes nothing in
    /// another one.
    static func isAsAbsent(_ sent: String, _ column: Column) -> Bool {
        column == .made && sent == Column.null
    }

    private static func new(owner: User) -> Row {
        var values: Values = [:]
        for column in Column.allCases { values[column] = Column.null }
        values[.made] = Column.madeDefault
        values[.note] = Column.noteDefault
        return Row(owner: owner, values: values)
    }

    private mutating func append(_ entry: Entry, to user: User) {
        logs[user.rawValue].newest[entry.row] = logs[user.rawValue].entries.count
        logs[user.rawValue].entries.append(entry)
    }

    // MARK: Plain SQL

    /// Whether PostgreSQL would take the statement.
    package func allows(_ write: Write) -> Bool {
        switch write {
        case .insert(let owner, let name, let values):
            return rows[name] == nil && isFree(values, name, owner)
        case .update(let name, let values):
            return rows[name].map { isFree(values, name, $0.owner) } ?? true
        case .delete: return true
        case .swap(let a, let b):
            return a != b && a.table == b.table && rows[a] != nil
                && rows[a]?.owner == rows[b]?.owner
        }
    }

    private func isFree(_ values: Values, _ name: RowName, _ owner: User) -> Bool {
        if values[.word] == Column.badWord { return false }
        guard let place = values[.place].flatMap({ Int($0) }),
            let claim = Claim(name, place, owner)
        else { return true }
        return !rows.contains { $0 != name && Claim($0, $1.place, $1.owner) == claim }
    }

    package mutating func write(_ write: Write) {
        switch write {
        case .insert(let owner, let name, let values):
            var row = Self.new(owner: owner)
            for (column, value) in values { row.values[column] = column.store(value).stored }
            rows[name] = row
            capture(.insert, name, owner)
        case .update(let name, let values): update(name, values)
        case .delete(let name):
            guard let row = rows.removeValue(forKey: name) else { return }
            capture(.delete, name, row.owner)
        case .swap(let a, let b):
            for step in swapSteps(a, b) { update(step.row, [.place: "\(step.place)"]) }
        }
    }

    /// One UPDATE each, so that none meets the other's place.
    package func swapSteps(_ a: RowName, _ b: RowName) -> [(row: RowName, place: Int)] {
        guard let first = rows[a]?.place, let second = rows[b]?.place else { return [] }
        return [(a, -a.number), (b, first), (a, second)]
    }

    private mutating func update(_ name: RowName, _ values: Values) {
        guard let old = rows[name] else { return }
        var row = old
        for (column, value) in values { row.values[column] = column.store(value).stored }
        guard row != old else { return }
        rows[name] = row
        capture(.update, name, row.owner)
    }

    private mutating func capture(_ kind: Kind, _ name: RowName, _ owner: User) {
        append(
            Entry(
                row: name, kind: kind, version: (newest(owner, name)?.version ?? 0) + 1,
                device: .server, id: 0, payload: rows[name]?.values, hasUnknown: false,
                isStored: rows[name] != nil, sent: nil),
            to: owner)
    }
}

extension StoredModel.Entry {
    /// Whether a change under its id says the same of the same row.
    func isRepeated(by change: StoredModel.Change) -> Bool {
        guard let sent else { return false }
        return sent.row == change.row && sent.payload == change.payload
            && sent.hasUnknown == change.hasUnknown
    }
}

extension StoredModel.Answer {
    /// What an upload that leaves nothing says of a row that it would have written.
    fileprivate func shownAsSent(after model: StoredModel) -> Self {
        guard case .conflict(let entry) = self, let sent = entry.sent,
            !StoredModel.User.allCases.contains(where: { model.log(of: $0).contains(entry) })
        else { return self }
        return .conflict(
            with: StoredModel.Entry(
                row: entry.row, kind: entry.kind, version: entry.version, device: entry.device,
                id: entry.id, payload: sent.payload, hasUnknown: entry.hasUnknown, isStored: false,
                sent: sent))
    }
}
