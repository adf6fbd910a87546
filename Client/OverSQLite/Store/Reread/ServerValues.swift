import GRDB

/// The server's values of a row as the table's columns would hold them, without writing them.
struct ServerValues {
    let db: Database
    let tables: TableWriters
    let table: TableSchema

    /// - Parameters:
    ///   - local: the key as the row spells it.
    ///   - here: the row as it is. Where the server's value would be the same in the column, the
    ///     result has the one that is here.
    /// - Throws: `RowFlaw` if the payload does not fit the table.
    func values(
        _ payload: UnsafeBufferPointer<UInt8>, _ key: DeviceRowKey, local: DatabaseValue,
        here: RowValues
    ) throws -> RowValues {
        let writer = try tables.writer(table)
        var values = try writer.values(of: payload)
        values[table.key.wireName] = local
        values =
            try ConflictResolver(db: db, tables: tables)
            .sameAsStored(values, here, table, key, writer.inexact) ?? values
        for column in try same(values, local) { values[column] = here[column] }
        return here.merging(values) { $1 }
    }

    /// The columns that would hold the same. SQLite applies a column's affinity to what it is
    /// compared with, as it does to what is written.
    private func same(_ values: RowValues, _ local: DatabaseValue) throws -> [String] {
        let columns = table.columns.filter { values[$0.wireName] != nil }
        if columns.isEmpty { return [] }
        let tests = columns.map { "\($0.name.quotedIdentifier) IS ? COLLATE BINARY" }
        let statement = try db.cachedStatement(
            sql: """
                SELECT \(tests.joined(separator: ", ")) FROM \(table.quotedName)
                WHERE \(table.quotedKey) IS ?
                """)
        let arguments = columns.map { values[$0.wireName] ?? .null } + [local]
        guard let row = try Row.fetchOne(statement, arguments: StatementArguments(arguments))
        else { return [] }
        return columns.enumerated().filter { row[$0.offset] as Bool }.map(\.element.wireName)
    }
}
