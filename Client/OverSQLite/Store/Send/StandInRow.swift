import GRDB

/// A pending row as it is sent at first, if rows wait for its unique values in a circle that no
/// upload can take: as the server has it, with other values in its unique indexes.
struct StandInRow {
    let sets: UniqueSets
    let row: PendingRow
    /// The numbers of the indexes in which other rows take its value.
    let indexes: Set<Int>

    /// - Parameter number: another one for each row that is sent like this in an upload.
    /// - Returns: nil if no value can stand in.
    func values(number: Int64) throws -> RowValues? {
        guard row.operation == .update, let table = sets.catalog.table(id: row.tableID),
            let image = RowImage.values(of: row.image),
            try LocalRow(db: sets.db, table: table).values(row.local) != nil
        else { return nil }
        var values = image
        for index in indexes.sorted() {
            // A column that stands in already may be in this index, too.
            let before = try sets.value(in: index, of: table, image)
            guard try sets.value(in: index, of: table, values) == before else { continue }
            guard let (column, value) = try standIn(in: index, of: table, values, number) else {
                return nil
            }
            values[column] = value
        }
        return values
    }

    /// The column and value for an index. What the server has refused before is followed by
    /// another one.
    private func standIn(
        in number: Int, of table: TableSchema, _ values: RowValues, _ offset: Int64
    ) throws -> (column: String, value: DatabaseValue)? {
        var found: [(String, DatabaseValue)] = []
        let before = try sets.value(in: number, of: table, values)
        for name in table.uniqueIndexes[number].columns {
            let wireName = name.lowercased()
            guard let column = table.columns.first(where: { $0.wireName == wireName }),
                !column.isKey, column.reference == nil, let value = values[wireName]
            else { continue }
            let others = try StandInValues(db: sets.db, table: table, offset: offset)
                .values(for: column.name, value, number: offset)
            for other in others + [.null] where other != value {
                var changed = values
                changed[wireName] = other
                let after = try sets.value(in: number, of: table, changed)
                guard after != before else { continue }
                if try after == nil || isFree(changed, in: number, of: table) {
                    found.append((wireName, other))
                }
            }
        }
        return found.isEmpty ? nil : found[row.attempts % found.count]
    }

    /// Whether no row here has these values, which are about to be the server's.
    private func isFree(
        _ values: RowValues, in number: Int, of table: TableSchema
    ) throws -> Bool {
        let index = table.uniqueIndexes[number]
        let names = Dictionary(
            index.columns.enumerated().map { ($1, ":c\($0)") }, uniquingKeysWith: { one, _ in one })
        let arguments = Dictionary(
            index.columns.enumerated().map { ("c\($0)", values[$1.lowercased()] ?? .null) },
            uniquingKeysWith: { one, _ in one })
        let statement = try sets.db.cachedStatement(
            sql: """
                SELECT 1 FROM \(table.quotedName)
                WHERE \(index.clashSQL { names[$0] ?? "NULL" }) LIMIT 1
                """)
        return try Int.fetchOne(statement, arguments: StatementArguments(arguments)) == nil
    }
}
