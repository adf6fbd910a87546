/// The SQLite type affinity of a column, as far as it affects how values are sent.
enum Affinity: Sendable, Hashable {
    case text, integer, real, numeric, blob
    /// No declared type: a value keeps its own type.
    case none
    /// Declared JSON. SQLite has no such affinity: the text is a JSON value and is sent as that
    /// value.
    case json

    /// Whether SQLite makes numbers of texts that look like one.
    var isOfNumbers: Bool { self == .integer || self == .real || self == .numeric }

    /// The affinity of a declared type, by the rules of SQLite's "Datatypes" page, section 3.1.
    /// Unlike SQLite, this distinguishes a column without a type from one declared BLOB: only a
    /// declared BLOB says how to read text from the wire.
    ///
    /// - Parameter isStrict: the table is STRICT, where ANY keeps each value as it is.
    init(declaredType: String, inStrict isStrict: Bool = false) {
        let type = declaredType.uppercased()
        if type.isEmpty || isStrict && type == "ANY" {
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

/// A column whose value is sent. Generated columns are not included.
struct Column: Sendable, Hashable {
    let name: String
    /// The column's name in a payload: its name in lower case.
    let wireName: String
    let affinity: Affinity
    let isKey: Bool
    /// The table whose keys this column holds; nil if it holds no key of a synced table.
    var reference: KeyReference?
    /// The server's column is one of JSON, where a number, a boolean and their text are three
    /// values. False until the server was asked.
    var isOfJSON = false

    init(name: String, affinity: Affinity, isKey: Bool) {
        self.name = name
        self.wireName = name.lowercased()
        self.affinity = affinity
        self.isKey = isKey
    }
}

/// A synced table as it is in the database now.
struct TableSchema: Sendable {
    /// The table's number in `_sync_tables`.
    let id: Int64
    let name: String
    var columns: [Column]
    let keyIndex: Int
    let keyForm: KeyForm
    /// What this table refers to: its foreign keys, and the references that the app has named.
    let foreignKeys: [ForeignKey]
    /// What is unique in the table other than the key.
    let uniqueIndexes: [UniqueIndex]
    let policy: ConflictPolicy
    /// The foreign keys that refer to this table, of any table in the database.
    var referrers: [Referrer] = []
    /// The columns that stay on the device, by their names in SQLite.
    var localColumns: [String] = []
    /// The device leases numbers for the table's new rows.
    var leasesKeys = false
    /// SQLite gives a row a key itself if its insert has none: an `INTEGER PRIMARY KEY`.
    var isKeyRowID = false
    /// The table says itself what a row does that violates a constraint (`UNIQUE ON CONFLICT
    /// REPLACE`). That is for what the app writes: a row of the server's that is refused is held.
    var hasConflictClauses = false

    var wireName: String { name.lowercased() }
    var hasLocalColumns: Bool { !localColumns.isEmpty }
    var key: Column { columns[keyIndex] }
    /// Lower-case names of the tables that this one refers to, without itself.
    var parents: Set<String> { Set(foreignKeys.map(\.parent)).subtracting([wireName]) }
}
