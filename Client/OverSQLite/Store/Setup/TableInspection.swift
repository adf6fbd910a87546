import GRDB

/// Reads the structure of a synced table from SQLite's schema.
struct TableInspection {
    /// The maximum length of a name that gateways accept, in bytes: PostgreSQL's limit.
    private static let maximumNameBytes = 63

    let db: Database

    /// - Throws: `SyncError.unusableTable`, with the reason as a text for the developer.
    func schema(of table: SyncTable, id: Int64, defaultPolicy: ConflictPolicy) throws -> TableSchema
    {
        guard let name = try storedName(of: table.name) else {
            throw SyncError.unusableTable(table.name, try whatIsThere(of: table.name))
        }
        guard isWireName(name) else {
            throw SyncError.unusableTable(
                table.name,
                "its name must consist of at most \(Self.maximumNameBytes) ASCII letters, digits "
                    + "and underscores")
        }
        let infos = try columnInfos(of: name)
        let keyName = try keyColumn(of: table, in: infos)
        guard try isUnique(keyName, in: name, infos: infos) else {
            throw SyncError.unusableTable(
                table.name, "the key column \(keyName) must be the primary key or UNIQUE by itself")
        }
        let form = try keyForm(of: table, keyName, infos)
        try KeyCollation(db: db).check(keyName, of: name, form: form)
        let local = try localColumns(of: table, keyName, infos)
        let text = try definition(of: name)
        let columns = infos.filter { $0.hidden == 0 && !local.contains($0.name) }.map {
            Column(
                name: $0.name,
                affinity: Affinity(declaredType: $0.type, inStrict: text.isStrict),
                isKey: $0.name == keyName)
        }
        guard let keyIndex = columns.firstIndex(where: \.isKey) else {
            throw SyncError.unusableTable(
                table.name, "the key column \(keyName) is generated: use an ordinary column")
        }
        return TableSchema(
            id: id, name: name, columns: columns, keyIndex: keyIndex,
            keyForm: form,
            foreignKeys: try foreignKeys(of: name) + named(table.references, in: table, infos),
            uniqueIndexes: try UniqueIndexes(
                db: db, table: name, columns: infos.map(\.facts)
            ).all(key: keyName),
            policy: table.conflictPolicy ?? defaultPolicy,
            localColumns: local.sorted(),
            isKeyRowID: try isRowID(keyName, of: name, infos),
            hasConflictClauses: text.hasConflictClauses)
    }

    /// What SQLite tells only in a table's text. A comment may say the same, and does no harm.
    private struct Definition {
        let text: String

        /// A constraint says itself what a row does that violates it.
        var hasConflictClauses: Bool { text.contains(/\bON\s+CONFLICT\b/.ignoresCase()) }
        /// After the columns stand options, one of them STRICT.
        var isStrict: Bool { text.contains(/\)[^)]*\bSTRICT\b[^)]*$/.ignoresCase()) }
    }

    private func definition(of table: String) throws -> Definition {
        Definition(
            text: try String.fetchOne(
                db, sql: "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?",
                arguments: [table]) ?? "")
    }

    /// The names of the columns that stay on the device, as SQLite stores them.
    private func localColumns(
        of table: SyncTable, _ key: String, _ infos: [ColumnInfo]
    ) throws -> Set<String> {
        var names: Set<String> = []
        for column in table.localColumns.sorted() {
            guard let info = infos.first(where: { $0.name.lowercased() == column.lowercased() })
            else {
                throw SyncError.unusableTable(
                    table.name, "it has no column \(column): check localColumns")
            }
            guard info.name != key else {
                throw SyncError.unusableTable(
                    table.name, "the key column \(key) cannot stay on the device")
            }
            guard !info.isRequired || info.defaultSQL != nil || info.hidden != 0 else {
                throw SyncError.unusableTable(
                    table.name,
                    "the column \(info.name) stays on the device and is NOT NULL: give it a "
                        + "default, for rows that come from the server")
            }
            names.insert(info.name)
        }
        return names
    }

    /// Whether gateways accept the name, which is sent in lower case.
    private func isWireName(_ name: String) -> Bool {
        name.utf8.count <= Self.maximumNameBytes
            && name.utf8.allSatisfy { byte in
                byte == UInt8(ascii: "_") || byte &- UInt8(ascii: "0") < 10
                    || (byte | 0x20) &- UInt8(ascii: "a") < 26
            }
    }

    private struct ColumnInfo {
        let name: String
        let type: String
        /// The position in the primary key, from 1; 0 if the column is not part of it.
        let keyPosition: Int
        /// 0 for an ordinary column. Other values mark generated or hidden columns.
        let hidden: Int
        let isRequired: Bool
        /// The default, as SQL.
        let defaultSQL: String?

        var facts: UniqueIndexes.ColumnFacts {
            .init(
                name: name, isGenerated: hidden != 0,
                defaultIfRequired: isRequired ? defaultSQL : nil)
        }
    }

    /// The name as it was declared; nil unless it is a table that stores rows itself and so has a
    /// root page.
    private func storedName(of name: String) throws -> String? {
        try String.fetchOne(
            db,
            sql: """
                SELECT name FROM sqlite_master
                WHERE type = 'table' AND rootpage > 0 AND lower(name) = lower(?)
                """, arguments: [name])
    }

    /// Why there is no table of this name.
    private func whatIsThere(of name: String) throws -> String {
        let type = try String.fetchOne(
            db,
            sql: """
                SELECT type FROM sqlite_master
                WHERE type IN ('table', 'view') AND lower(name) = lower(?)
                """, arguments: [name])
        return switch type {
        case "view": "it is a view and stores no rows: name the tables that it reads"
        case "table":
            "it is a virtual table, which cannot be synced: name the table that it is built from"
        default:
            "there is no such table: check the name, and run migrations before making the engine"
        }
    }

    private func columnInfos(of table: String) throws -> [ColumnInfo] {
        try Row.fetchAll(
            db,
            sql: """
                SELECT name, type, pk, hidden, "notnull", dflt_value FROM pragma_table_xinfo(?)
                """, arguments: [table]
        )
        .map {
            ColumnInfo(
                name: $0["name"], type: $0["type"], keyPosition: $0["pk"], hidden: $0["hidden"],
                isRequired: $0["notnull"], defaultSQL: $0["dflt_value"])
        }
    }

    private func keyColumn(of table: SyncTable, in infos: [ColumnInfo]) throws -> String {
        if let wanted = table.keyColumn {
            guard let info = infos.first(where: { $0.name.lowercased() == wanted.lowercased() })
            else {
                throw SyncError.unusableTable(
                    table.name, "it has no column \(wanted): check keyColumn")
            }
            return info.name
        }
        let primary = infos.filter { $0.keyPosition > 0 }
        guard primary.count == 1 else {
            throw SyncError.unusableTable(
                table.name,
                "it has no primary key of one column: add one, or set keyColumn to a UNIQUE column")
        }
        return primary[0].name
    }

    private func keyForm(
        of table: SyncTable, _ key: String, _ infos: [ColumnInfo]
    ) throws -> KeyForm {
        let type = infos.first { $0.name == key }?.type ?? ""
        switch (table.keyKind, Affinity(declaredType: type)) {
        case (.uuid, .blob): return .uuidBlob
        case (.uuid, .text), (.uuid, .none): return .uuidText
        case (.text, .text), (.text, .none): return .text
        case (.integer, .integer): return .integer
        case (.integer, _):
            throw SyncError.unusableTable(
                table.name, "the key column \(key) must be declared INTEGER")
        default:
            throw SyncError.unusableTable(
                table.name, "the key column \(key) must be declared TEXT, or BLOB for UUIDs")
        }
    }

    /// Whether SQLite itself numbers the rows by this column: an `INTEGER PRIMARY KEY`, for which a
    /// NULL means the next number. Every other primary key has an index.
    private func isRowID(_ column: String, of table: String, _ infos: [ColumnInfo]) throws -> Bool {
        guard infos.filter({ $0.keyPosition > 0 }).map(\.name) == [column] else { return false }
        return try String.fetchOne(
            db, sql: "SELECT name FROM pragma_index_list(?) WHERE origin = 'pk'",
            arguments: [table]) == nil
    }

    private func isUnique(_ column: String, in table: String, infos: [ColumnInfo]) throws -> Bool {
        let primary = infos.filter { $0.keyPosition > 0 }.map(\.name)
        return try primary == [column] || uniqueColumnSets(of: table).contains([column])
    }

    /// The column names of each unique index on plain columns, except partial indexes.
    private func uniqueColumnSets(of table: String) throws -> [[String]] {
        let indexes = try String.fetchAll(
            db, sql: #"SELECT name FROM pragma_index_list(?) WHERE "unique" AND NOT partial"#,
            arguments: [table])
        return try indexes.compactMap { index in
            let names = try Row.fetchAll(
                db, sql: "SELECT name FROM pragma_index_info(?) ORDER BY seqno", arguments: [index]
            ).map { $0["name"] as String? }
            return names.contains(nil) ? nil : names.compactMap { $0 }
        }
    }

    private func foreignKeys(of table: String) throws -> [ForeignKey] {
        let rows = try Row.fetchAll(
            db,
            sql: """
                SELECT id, lower("table") AS parent, lower("from") AS child_column,
                  lower(coalesce("to", (
                    SELECT name FROM pragma_table_info(k."table") WHERE pk = k.seq + 1)))
                    AS parent_column
                FROM pragma_foreign_key_list(?) AS k ORDER BY id, seq
                """, arguments: [table])
        return Dictionary(grouping: rows) { $0["id"] as Int }.sorted { $0.key < $1.key }.map {
            let rows = $0.value
            return ForeignKey(
                columns: rows.map { $0["child_column"] }, parent: rows[0]["parent"],
                // A key that names no column of its parent is an error of the app's tables.
                parentColumns: rows.map { ($0["parent_column"] as String?) ?? "" },
                isDeclared: true)
        }
    }

    /// The references that the app has named itself.
    private func named(
        _ references: [String: String], in table: SyncTable, _ infos: [ColumnInfo]
    ) throws -> [ForeignKey] {
        try references.sorted { $0.key < $1.key }.map { column, parent in
            guard infos.contains(where: { $0.name.lowercased() == column.lowercased() }) else {
                throw SyncError.unusableTable(
                    table.name, "it has no column \(column): check references")
            }
            return ForeignKey(
                columns: [column.lowercased()], parent: parent.lowercased(), parentColumns: [nil],
                isDeclared: false)
        }
    }
}
