/// What the server must do, in the plainest words: one change after the other, no SQL, no batches.
///
/// It knows two tables: `m.notes (id, title)` whose title must not be "bad", and `m.items (id, note_id, n)` with
/// a foreign key to notes.
struct ModelServer {
    struct Change: Hashable {
        enum Kind: String { case insert = "INSERT", update = "UPDATE", delete = "DELETE" }
        let id: Int
        let kind: Kind
        let table: String
        let key: String
        let base: Int
        /// Columns and JSON values, in the order in which they are sent; nil for a delete.
        let payload: [Field]?

        var json: String? {
            payload.map {
                "{" + $0.map { "\"\($0.name)\":\($0.value)" }.joined(separator: ",") + "}"
            }
        }
    }

    struct Field: Hashable {
        let name: String
        let value: String
    }

    struct Upload {
        let user: String
        let device: String
        let isAtomic: Bool
        let changes: [Change]

        func with(_ changes: [Change]) -> Upload {
            Upload(user: user, device: device, isAtomic: isAtomic, changes: changes)
        }
    }

    /// Plain SQL on one row.
    enum Write {
        case insert(owner: String, table: String, key: String, [Field])
        case update(table: String, key: String, Field)
        case delete(table: String, key: String)
    }

    struct Entry: Equatable {
        let table: String
        let key: String
        let kind: Change.Kind
        let version: Int
        let device: String
        let id: Int
        let payload: String?
    }

    private struct Place: Hashable {
        let table: String
        let key: String
    }

    private struct User {
        var log: [Entry] = []
        /// The newest change of each row, as an index into the log.
        var newest: [Place: Int] = [:]
    }

    private struct Row {
        let owner: String
        var values: [String: String]
    }

    private static let columns = ["notes": ["title"], "items": ["note_id", "n"]]
    private var users: [String: User] = [:]
    private var rows: [Place: Row] = [:]
    /// Notes that changes of the upload at hand would write, were PostgreSQL to take every row.
    private var promised: Set<String> = []

    func log(of user: String) -> [Entry] { users[user]?.log ?? [] }

    func version(_ user: String, _ table: String, _ key: String) -> Int {
        guard let user = users[user], let index = user.newest[Place(table: table, key: key)] else {
            return 0
        }
        return user.log[index].version
    }

    func holds(_ table: String, _ key: String) -> Bool {
        rows[Place(table: table, key: key)] != nil
    }

    func isReferenced(_ note: String) -> Bool {
        rows.contains { $0.key.table == "items" && $0.value.values["note_id"] == "\"\(note)\"" }
    }

    // MARK: Uploads

    /// The answer, a line for each change, as `ChangeOutcome.line` writes them.
    mutating func upload(_ upload: Upload) -> [String] {
        let order = Self.order(upload.changes)
        if upload.isAtomic {
            // Judged as if every row were taken, then with PostgreSQL's word.
            for respectsRows in [false, true] {
                var trial = self
                let answer = trial.answer(upload, order, respectsRows: respectsRows)
                if !answer.allSatisfy({ $0.hasPrefix("applied") }) {
                    return answer.map { $0.hasPrefix("applied") ? "aborted" : $0 }
                }
                if respectsRows { self = trial }
                if respectsRows { return answer }
            }
        }
        return answer(upload, order, respectsRows: true)
    }

    private mutating func answer(_ upload: Upload, _ order: [Int], respectsRows: Bool) -> [String] {
        var answer = Array(repeating: "", count: upload.changes.count)
        for index in order {
            answer[index] = judge(upload.changes[index], upload, respectsRows: respectsRows)
        }
        return answer
    }

    /// Upserts first, parents before children if both are there; then deletes, children first.
    static func order(_ changes: [Change]) -> [Int] {
        func rank(_ index: Int) -> (Int, Int, Int) {
            let change = changes[index]
            if change.kind == .delete { return (1, change.table == "items" ? 0 : 1, index) }
            return (0, change.table == "notes" ? 0 : 1, index)
        }
        return changes.indices.sorted { rank($0) < rank($1) }
    }

    private mutating func judge(_ change: Change, _ upload: Upload, respectsRows: Bool) -> String {
        let user = users[upload.user] ?? User()
        let place = Place(table: change.table, key: change.key)
        let newest = user.newest[place]
        var base = change.base
        let known = user.log.indices.filter {
            user.log[$0].device == upload.device && user.log[$0].id == change.id
        }
        if !known.isEmpty {
            if let same = known.first(where: {
                user.log[$0].table == change.table && user.log[$0].key == change.key
                    && user.log[$0].payload == change.json
            }) {
                return "applied \(user.log[same].version)"
            }
            if let newest, known.contains(newest) { base = user.log[newest].version }
        }
        if let note = change.payload?.first(where: { $0.name == "note_id" })?.value, note != "null"
        {
            let key = String(note.dropFirst().dropLast())
            if rows[Place(table: "notes", key: key)]?.owner != upload.user, !promised.contains(key)
            {
                return "invalid fk_missing m.notes:\(key)"
            }
        }
        guard let newest else {
            if change.kind == .delete { return "applied" }
            if base != 0 { return "invalid row_missing" }
            return apply(change, upload, version: 1, respectsRows: respectsRows)
        }
        let row = user.log[newest]
        guard row.version == base else {
            return "conflict \(row.version) by \(row.device)/\(row.id) "
                + (row.payload ?? "deleted")
        }
        return apply(change, upload, version: base + 1, respectsRows: respectsRows)
    }

    private mutating func apply(
        _ change: Change, _ upload: Upload, version: Int, respectsRows: Bool
    ) -> String {
        let place = Place(table: change.table, key: change.key)
        if respectsRows {
            if change.kind == .delete {
                if change.table == "notes", rows[place]?.owner == upload.user,
                    isReferenced(change.key)
                {
                    return "materialize_error 23503"
                }
            } else if change.payload?.contains(where: { $0.value == "\"bad\"" }) == true {
                return "materialize_error 23514"
            } else if let row = rows[place], row.owner != upload.user {
                return "invalid key_taken"
            }
        }
        if !respectsRows, change.table == "notes", change.kind != .delete {
            promised.insert(change.key)
        }
        if change.kind == .delete {
            if rows[place]?.owner == upload.user { rows[place] = nil }
        } else {
            let none = Dictionary(
                uniqueKeysWithValues: Self.columns[change.table, default: []].map { ($0, "null") })
            var row = rows[place] ?? Row(owner: upload.user, values: none)
            if row.owner == upload.user {
                for field in change.payload ?? [] where none[field.name] != nil {
                    row.values[field.name] = field.value
                }
                rows[place] = row
            }
        }
        append(
            Entry(
                table: change.table, key: change.key, kind: change.kind, version: version,
                device: upload.device, id: change.id, payload: change.json), to: upload.user)
        return "applied \(version)"
    }

    private mutating func append(_ entry: Entry, to user: String) {
        var own = users[user] ?? User()
        own.newest[Place(table: entry.table, key: entry.key)] = own.log.count
        own.log.append(entry)
        users[user] = own
    }

    // MARK: Plain SQL

    /// Whether PostgreSQL would take the statement.
    func allows(_ write: Write) -> Bool {
        switch write {
        case .insert(_, let table, let key, _): !holds(table, key)
        case .update: true
        case .delete(_, let key): !isReferenced(key)
        }
    }

    mutating func write(_ write: Write) {
        switch write {
        case .insert(let owner, let table, let key, let fields):
            var values = Dictionary(
                uniqueKeysWithValues: Self.columns[table, default: []].map { ($0, "null") })
            for field in fields { values[field.name] = field.value }
            rows[Place(table: table, key: key)] = Row(owner: owner, values: values)
            capture(.insert, table, key, owner)
        case .update(let table, let key, let field):
            let place = Place(table: table, key: key)
            guard let row = rows[place], row.values[field.name] != field.value else { return }
            rows[place]?.values[field.name] = field.value
            capture(.update, table, key, row.owner)
        case .delete(let table, let key):
            guard let row = rows.removeValue(forKey: Place(table: table, key: key)) else { return }
            capture(.delete, table, key, row.owner)
        }
    }

    private mutating func capture(
        _ kind: Change.Kind, _ table: String, _ key: String, _ owner: String
    ) {
        let row = rows[Place(table: table, key: key)]
        let payload = row.map { row in
            "{\"id\":\"\(key)\","
                + Self.columns[table, default: []].map { "\"\($0)\":\(row.values[$0] ?? "null")" }
                .joined(separator: ",") + "}"
        }
        append(
            Entry(
                table: table, key: key, kind: kind, version: version(owner, table, key) + 1,
                device: "", id: log(of: owner).count + 1, payload: payload), to: owner)
    }
}
