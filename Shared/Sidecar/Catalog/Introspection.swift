import Model
import Postgres

/// What PostgreSQL's own catalog says of business tables.
package struct Introspection: Sendable {
    package struct UniqueKey: Sendable {
        package var columns: [String]
        package let isPrimary: Bool
        /// A statement with `ON CONFLICT` can rest on it.
        let isUsable: Bool
    }

    package private(set) var columns: [TableName: [Column]] = [:]
    package private(set) var columnNeeds: [TableName: [ColumnNeed]] = [:]
    /// The sequences that give columns their numbers, by column.
    private var keySequences: [TableName: [String: KeySequence]] = [:]
    package private(set) var foreignKeys: [TableName: [ForeignKey]] = [:]
    package private(set) var uniqueKeys: [TableName: [UniqueKey]] = [:]
    /// Tables with a trigger that can change a row before it is stored.
    package private(set) var rowTriggers: Set<TableName> = []
    /// Tables with any trigger of the team.
    private var triggers: Set<TableName> = []
    /// The plain columns of each unique index, also of partial ones; not those of exclusion
    /// constraints.
    private var comparisons: [TableName: [Int64: Set<String>]] = [:]

    /// Reads everything about `tables` in one round trip.
    package static func read(
        _ tables: [TableName], on connection: PostgresConnection,
        deadline: ContinuousClock.Instant? = nil
    ) async throws(PostgresError) -> Introspection {
        var names = ArrayBinding(of: .text, reserving: tables.count)
        for table in tables { names.append(table.description) }
        var pipeline = Pipeline()
        let columns = pipeline.add(SidecarStatements.ReadColumns(tables: names))
        let foreignKeys = pipeline.add(SidecarStatements.ReadForeignKeys(tables: names))
        let uniqueKeys = pipeline.add(SidecarStatements.ReadUniqueKeys(tables: names))
        let rowTriggers = pipeline.add(SidecarStatements.ReadRowTriggers(tables: names))
        let comparisons = pipeline.add(SidecarStatements.ReadComparisons(tables: names))
        let results = try await connection.run(pipeline, deadline: deadline)
        let byText = Dictionary(
            tables.map { ($0.description, $0) }, uniquingKeysWith: { first, _ in first })
        var found = Introspection()
        try found.addColumns(results[columns], byText)
        try found.addForeignKeys(results[foreignKeys], byText)
        try found.addUniqueKeys(results[uniqueKeys], byText)
        for row in try results[rowTriggers].all() {
            guard let table = byText[row.table] else { continue }
            found.triggers.insert(table)
            if row.mayChangeRows { found.rowTriggers.insert(table) }
        }
        for row in try results[comparisons].all() {
            guard let table = byText[row.table] else { continue }
            let column = row.column.map { [$0] } ?? []
            found.comparisons[table, default: [:]][row.index, default: []].formUnion(column)
        }
        return found
    }

    func reach(of table: TableName, key: String) -> WriteReach {
        WriteReach(
            hasTriggers: triggers.contains(table),
            comparesRows: comparisons[table]?.values.contains { !$0.contains(key) } ?? false)
    }

    /// The sequence of which a key is the next number, nothing added to it.
    func keySequence(of table: TableName, key: String) -> KeySequence? {
        keySequences[table]?[key]
    }

    private mutating func addColumns(
        _ rows: Rows<SidecarStatements.ReadColumns.Row>, _ tables: [String: TableName]
    ) throws(PostgresError) {
        var rows = rows
        while let row = try rows.next() {
            guard let table = tables[row.table] else { continue }
            addNeeds(of: table, row)
            // One row more for each further sequence of its default.
            if columns[table]?.last?.name == row.column.name { continue }
            columns[table, default: []].append(row.column)
        }
    }

    private mutating func addNeeds(
        of table: TableName, _ row: SidecarStatements.ReadColumns.Row
    ) {
        var needs = columnNeeds[table] ?? []
        // Everybody may use PostgreSQL's own types.
        if row.typeSchema != "pg_catalog", !needs.contains(.typeSchema(row.typeSchema)) {
            needs.append(.typeSchema(row.typeSchema))
        }
        if let sequence = row.sequence.map(ColumnNeed.sequence), !needs.contains(sequence) {
            needs.append(sequence)
        }
        columnNeeds[table] = needs
        keySequences[table, default: [:]][row.column.name] = row.keySequence
    }

    private mutating func addForeignKeys(
        _ rows: Rows<SidecarStatements.ReadForeignKeys.Row>, _ tables: [String: TableName]
    ) throws(PostgresError) {
        var rows = rows
        while let row = try rows.next() {
            guard let table = tables[row.table] else { continue }
            var pairs = [row.pair]
            if let last = foreignKeys[table]?.last, last.name == row.name {
                pairs = last.columns + pairs
                foreignKeys[table]?.removeLast()
            }
            foreignKeys[table, default: []].append(
                ForeignKey(
                    name: row.name, parent: row.parent, columns: pairs,
                    isDeferrable: row.isDeferrable))
        }
    }

    private mutating func addUniqueKeys(
        _ rows: Rows<SidecarStatements.ReadUniqueKeys.Row>, _ tables: [String: TableName]
    ) throws(PostgresError) {
        var rows = rows
        var lastIndex: Int64?
        while let row = try rows.next() {
            guard let table = tables[row.table] else { continue }
            if row.index == lastIndex, let last = uniqueKeys[table]?.indices.last {
                uniqueKeys[table]?[last].columns.append(row.column)
            } else {
                uniqueKeys[table, default: []].append(
                    UniqueKey(
                        columns: [row.column], isPrimary: row.isPrimary, isUsable: row.isUsable))
            }
            lastIndex = row.index
        }
    }
}
