/// SQLite's type affinity of a column, as far as it changes how a value travels.
enum Affinity: Sendable, Hashable {
    case text, integer, real, numeric, blob
    /// No declared type: a value keeps whatever type it came with.
    case none
    /// Declared JSON, which is no affinity of SQLite's: the text is a JSON value and travels as
    /// that value.
    case json

    /// The affinity of a declared type, by the rules of SQLite's "Datatypes" page, section 3.1.
    /// Unlike there, a column without a type is told apart from one declared BLOB, because only a
    /// declared BLOB says how text from the wire is to be read.
    init(declaredType: String) {
        let type = declaredType.uppercased()
        if type.isEmpty {
            self = .none
        } else if type.contains("JSON") {
            self = .json
        } else if type.contains("INT") {
            self = .integer
        } else if type.contains("CHAR") || type.contains("CLOB") || type.contains("TEXT") {
            self = .text
        } else if type.contains("BLOB") {
            self = .blob
        } else if type.contains("REAL") || type.contains("FLOA") || type.contains("DOUB") {
            self = .real
        } else {
            self = .numeric
        }
    }
}

/// A column whose value travels; generated columns have none of these.
struct Column: Sendable, Hashable {
    let name: String
    /// The key of the value in a payload: the name in lower case.
    let wireName: String
    let affinity: Affinity
    let isKey: Bool

    init(name: String, affinity: Affinity, isKey: Bool) {
        self.name = name
        self.wireName = name.lowercased()
        self.affinity = affinity
        self.isKey = isKey
    }
}

/// A synced table as it stands in the database now.
struct TableSchema: Sendable {
    /// The table's number in `_sync_tables`.
    let id: Int64
    let name: String
    let columns: [Column]
    let keyIndex: Int
    let keyForm: KeyForm
    /// Lower-case names of the tables this one refers to, itself excluded.
    let parents: Set<String>
    /// Column sets that are unique beside the key: a write with OR REPLACE can remove rows through
    /// them.
    let otherUniqueColumns: [[String]]
    let policy: ConflictPolicy

    var wireName: String { name.lowercased() }
    var key: Column { columns[keyIndex] }
    var quotedName: String { name.quotedIdentifier }
    var quotedKey: String { key.name.quotedIdentifier }
}
