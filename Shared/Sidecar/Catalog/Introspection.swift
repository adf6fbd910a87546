import Model
import Postgres

/// What PostgreSQL's own catalog says of business tables.
package struct Introspection: Sendable {
    package struct UniqueKey: Sendable {
        package var columns: [String]
        package let isPrimary: Bool
    }

    package private(set) var columns: [TableName: [Column]] = [:]
    package private(set) var columnNeeds: [TableName: [ColumnNeed]] = [:]
    package private(set) var foreignKeys: [TableName: [ForeignKey]] = [:]
    package private(set) var uniqueKeys: [TableName: [UniqueKey]] = [:]

    /// Reads everything about `tables` in one round trip.
    package static func read(
        _ tables: [TableName], on connection: PostgresConnection,
        deadline: ContinuousClock.Instant? = nil
    ) async throws(PostgresError) -> Introspection {
        var names = ArrayBinding(of: .text, reserving: tables.count)
        for table in tables { names.append(table.description) }
        var bindings = Bindings()
        bindings.bind(names)
        let results = try await connection.run(
            [
                Command(SidecarStatements.columns, bindings),
                Command(SidecarStatements.foreignKeys, bindings),
                Command(SidecarStatements.uniqueKeys, bindings),
            ], deadline: deadline)
        let byText = Dictionary(
            tables.map { ($0.description, $0) }, uniquingKeysWith: { first, _ in first })
        var found = Introspection()
        try found.addColumns(results[0], byText)
        try found.addForeignKeys(results[1], byText)
        try found.addUniqueKeys(results[2], byText)
        return found
    }

    private mutating func addColumns(
        _ result: PostgresResult, _ tables: [String: TableName]
    ) throws(PostgresError) {
        for row in 0..<result.rowCount {
            guard let table = tables[try result.string(row, 0)] else { continue }
            try addNeeds(of: table, result, row)
            let name = try result.string(row, 1)
            // One row more for each further sequence of its default.
            if columns[table]?.last?.name == name { continue }
            let column = Column(
                name: name, typeName: try result.string(row, 3),
                type: UInt32(truncatingIfNeeded: try result.int64(row, 7)),
                baseType: UInt32(truncatingIfNeeded: try result.int64(row, 4)),
                isReadOnly: try result.bool(row, 5), isRequired: try result.bool(row, 6))
            columns[table, default: []].append(column)
        }
    }

    private mutating func addNeeds(
        of table: TableName, _ result: PostgresResult, _ row: Int
    ) throws(PostgresError) {
        var needs = columnNeeds[table] ?? []
        let typeSchema = try result.string(row, 8)
        // Everybody may use PostgreSQL's own types.
        if typeSchema != "pg_catalog", !needs.contains(.typeSchema(typeSchema)) {
            needs.append(.typeSchema(typeSchema))
        }
        if let schema = try result.optionalString(row, 9) {
            let sequence = ColumnNeed.sequence(
                TableName(schema: schema, table: try result.string(row, 10)))
            if !needs.contains(sequence) { needs.append(sequence) }
        }
        columnNeeds[table] = needs
    }

    private mutating func addForeignKeys(
        _ result: PostgresResult, _ tables: [String: TableName]
    ) throws(PostgresError) {
        for row in 0..<result.rowCount {
            guard let table = tables[try result.string(row, 0)] else { continue }
            let name = try result.string(row, 1)
            let pair = ForeignKey.Pair(
                child: try result.string(row, 4), parent: try result.string(row, 5),
                parentType: UInt32(truncatingIfNeeded: try result.int64(row, 6)))
            var pairs = [pair]
            if let last = foreignKeys[table]?.last, last.name == name {
                pairs = last.columns + pairs
                foreignKeys[table]?.removeLast()
            }
            let parent = TableName(
                schema: try result.string(row, 2), table: try result.string(row, 3))
            foreignKeys[table, default: []].append(
                ForeignKey(
                    name: name, parent: parent, columns: pairs,
                    isDeferrable: try result.bool(row, 7)))
        }
    }

    private mutating func addUniqueKeys(
        _ result: PostgresResult, _ tables: [String: TableName]
    ) throws(PostgresError) {
        var lastIndex: Int64?
        for row in 0..<result.rowCount {
            guard let table = tables[try result.string(row, 0)] else { continue }
            let index = try result.int64(row, 1)
            let column = try result.string(row, 2)
            if index == lastIndex, let last = uniqueKeys[table]?.indices.last {
                uniqueKeys[table]?[last].columns.append(column)
            } else {
                uniqueKeys[table, default: []].append(
                    UniqueKey(columns: [column], isPrimary: try result.bool(row, 3)))
            }
            lastIndex = index
        }
    }
}
