import GRDB

/// Finds pending rows that must be sent together: one of them gets a unique value that another one
/// still has on the server. Apart, the server would refuse the first.
struct UniqueSets {
    /// Pending rows to look at when a batch cannot take all of them.
    static let lookahead = 1000

    let db: Database
    let catalog: DeviceCatalog

    /// - Returns: the rows in sets, each at the place of its first row.
    func sets(of rows: [PendingRow]) throws -> [[PendingRow]] {
        var owners: [IndexedValue: [Int]] = [:]
        for (place, row) in rows.enumerated() {
            for value in try serverValues(of: row) { owners[value, default: []].append(place) }
        }
        if owners.isEmpty { return rows.map { [$0] } }
        var groups = DisjointSets(count: rows.count)
        for (place, row) in rows.enumerated() where row.operation != .delete {
            for value in try localValues(of: row) {
                for owner in owners[value] ?? [] { groups.join(place, owner) }
            }
        }
        return groups.sets.map { $0.map { rows[$0] } }
    }

    /// What a row has in a unique index.
    private struct IndexedValue: Hashable {
        let table: Int64
        let index: Int
        let terms: [DatabaseValue]
    }

    /// The unique values that a row has on the server, as far as this device knows.
    private func serverValues(of row: PendingRow) throws -> [IndexedValue] {
        guard let table = catalog.table(id: row.tableID), !table.uniqueIndexes.isEmpty,
            let image = RowImage.values(of: row.image)
        else { return [] }
        return try table.uniqueIndexes.enumerated().compactMap { number, index in
            if index.readsGenerated { return nil }
            let names = index.columns.enumerated().map { ":c\($0) AS \($1.quotedIdentifier)" }
            let arguments = Dictionary(
                index.columns.enumerated().map { ("c\($0)", image[$1.lowercased()] ?? .null) },
                uniquingKeysWith: { first, _ in first })
            let source = "(SELECT \(names.joined(separator: ", ")))"
            return try value(index, number, table, source, StatementArguments(arguments))
        }
    }

    /// The unique values that a row has here.
    private func localValues(of row: PendingRow) throws -> [IndexedValue] {
        guard let table = catalog.table(id: row.tableID) else { return [] }
        return try table.uniqueIndexes.enumerated().compactMap { number, index in
            let source = "\(table.quotedName) WHERE \(table.quotedKey) IS ?"
            return try value(index, number, table, source, [row.local])
        }
    }

    private func value(
        _ index: UniqueIndex, _ number: Int, _ table: TableSchema, _ source: String,
        _ arguments: StatementArguments
    ) throws -> IndexedValue? {
        let statement = try db.cachedStatement(sql: index.valuesSQL(from: source))
        guard let row = try Row.fetchOne(statement, arguments: arguments) else { return nil }
        let terms = Array(row.databaseValues)
        if terms.contains(.null) { return nil }
        return IndexedValue(table: table.id, index: number, terms: terms)
    }
}

/// Numbers from 0, joined into sets.
struct DisjointSets {
    /// A smaller or equal number of the same set.
    private var roots: [Int]

    init(count: Int) { roots = Array(0..<count) }

    private func root(of number: Int) -> Int {
        var number = number
        while roots[number] != number { number = roots[number] }
        return number
    }

    mutating func join(_ one: Int, _ other: Int) {
        let (first, second) = (root(of: one), root(of: other))
        roots[max(first, second)] = min(first, second)
        roots[one] = min(first, second)
        roots[other] = min(first, second)
    }

    /// The sets by their smallest numbers, each in order.
    var sets: [[Int]] {
        var sets: [Int: [Int]] = [:]
        for number in roots.indices { sets[root(of: number), default: []].append(number) }
        return sets.sorted { $0.key < $1.key }.map(\.value)
    }
}
