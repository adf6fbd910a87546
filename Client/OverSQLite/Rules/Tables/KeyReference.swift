/// That a column holds keys of a synced table.
struct KeyReference: Sendable, Hashable {
    /// The table's number in `_sync_tables`.
    let tableID: Int64
    let form: KeyForm
}

/// A foreign key, with all names in lower case.
struct ForeignKey: Sendable, Hashable {
    let columns: [String]
    let parent: String
    /// The parent's columns, in the order of ``columns``; nil stands for the parent's key.
    let parentColumns: [String?]
    /// Whether SQLite itself checks it. It does not check references that only the app has named.
    let isDeclared: Bool
}

/// A foreign key, seen from the table that it refers to.
struct Referrer: Sendable, Hashable {
    /// The name of the table that has the foreign key, as SQLite stores it.
    let table: String
    let columns: [String]
    /// This table's columns, in the same order.
    let parentColumns: [String]
    /// Whether deleting a row changes or deletes those that refer to it.
    let actsOnDelete: Bool
    /// Whether deleting a row deletes those that refer to it.
    let cascades: Bool
}

/// Finds the columns that hold keys of synced tables.
enum KeyReferences {
    /// The tables, with the reference of each column.
    ///
    /// A column may refer to a column that refers to a key itself. It holds that key, too.
    static func resolved(_ tables: [TableSchema]) -> [TableSchema] {
        tables.map { table in
            var table = table
            for index in table.columns.indices {
                var seen: Set<[String]> = []
                table.columns[index].reference = reference(
                    of: table.columns[index].wireName, in: table, among: tables, &seen)
            }
            return table
        }
    }

    private static func reference(
        of column: String, in table: TableSchema, among tables: [TableSchema],
        _ seen: inout Set<[String]>
    ) -> KeyReference? {
        guard seen.insert([table.wireName, column]).inserted else { return nil }
        for foreignKey in table.foreignKeys {
            guard let parent = tables.first(where: { $0.wireName == foreignKey.parent }) else {
                continue
            }
            for (own, other) in zip(foreignKey.columns, foreignKey.parentColumns)
            where own == column {
                let other = other ?? parent.key.wireName
                if other != parent.key.wireName {
                    let found = reference(of: other, in: parent, among: tables, &seen)
                    if let found { return found }
                } else if parent.id != table.id || column != table.key.wireName {
                    return KeyReference(tableID: parent.id, form: parent.keyForm)
                }
            }
        }
        return nil
    }
}
