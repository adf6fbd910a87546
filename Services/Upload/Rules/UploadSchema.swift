import Model
import Postgres
import Sidecar
import Synchronization

/// The catalog as the rules of an upload use it: names resolved to indexes once, not once a change.
package final class UploadSchema: Sendable {
    package let catalog: Catalog
    package let tables: [UploadTable]
    /// Every foreign key that can be checked before the write, of all tables.
    package let foreignKeys: [CheckedForeignKey]
    /// Whether rows of a batch may point at each other over keys that wait for the commit: a table's to itself,
    /// or those of tables in a cycle.
    let mayHaveCycles: Bool
    private let statements = Mutex<[StatementKey: Statement]>([:])

    /// Most statements kept: the sets of columns that payloads name are up to the clients.
    private static let maximumStatements = 256

    private enum StatementKey: Hashable {
        case parents(foreignKey: Int)
        case keyUse(table: Int)
        case rows(
            table: Int, MaterializeStatement.Kind, ColumnSet, MaterializeStatement.Expectation)
    }

    package init(catalog: Catalog) {
        self.catalog = catalog
        var foreignKeys: [CheckedForeignKey] = []
        for (index, table) in catalog.tables.enumerated() {
            for key in table.foreignKeys {
                if let checked = CheckedForeignKey(key, ofTable: index, in: catalog) {
                    foreignKeys.append(checked)
                }
            }
        }
        self.foreignKeys = foreignKeys
        // Tables stand parents first, but for cycles.
        mayHaveCycles = foreignKeys.contains { key in
            key.key.isDeferrable && (key.parent ?? -1) >= key.child
        }
        tables = catalog.tables.enumerated().map { index, table in
            UploadTable(table, at: index, foreignKeys)
        }
    }

    /// The table of a wire name, as an index into `tables`.
    package func table(_ name: TableName) -> Int? { catalog[name]?.position }

    /// The look-up of a foreign key's parents.
    func parentStatement(_ foreignKey: Int) -> Statement {
        statement(.parents(foreignKey: foreignKey)) {
            ParentStatement.make(foreignKeys[foreignKey], in: self)
        }
    }

    /// The write of a set of rows into a business table.
    func materializeStatement(
        _ table: Int, _ kind: MaterializeStatement.Kind, _ columns: ColumnSet,
        expecting rows: MaterializeStatement.Expectation
    ) -> Statement {
        let columns = kind == .delete ? ColumnSet() : columns
        let rows = kind == .delete ? .asRecorded : rows
        return statement(.rows(table: table, kind, columns, rows)) {
            MaterializeStatement.make(tables[table], kind, columns, expecting: rows)
        }
    }

    /// Asks whether a key's row is another's; nil where that cannot be in the way.
    func keyUseStatement(_ table: Int) -> Statement? {
        guard let made = MaterializeStatement.isOthers(tables[table]) else { return nil }
        return statement(.keyUse(table: table)) { made }
    }

    private func statement(_ key: StatementKey, make: () -> Statement) -> Statement {
        if let known = statements.withLock({ $0[key] }) { return known }
        let made = make()
        statements.withLock { if $0.count < Self.maximumStatements { $0[key] = made } }
        return made
    }

    /// Whether some of these tables are parents of others among them.
    package func areRelated(_ indexes: Set<Int>) -> Bool {
        foreignKeys.contains { key in
            guard let parent = key.parent, parent != key.child else { return false }
            return indexes.contains(key.child) && indexes.contains(parent)
        }
    }
}

/// A registered table with its payload columns ready for look-up.
package struct UploadTable: Sendable {
    package let registered: RegisteredTable
    /// The name that payloads use for each column: its own in lower case.
    package let wireNames: [[UInt8]]
    /// Foreign keys of this table, as indexes into `UploadSchema.foreignKeys`.
    let foreignKeys: [Int]
    /// Foreign keys of any table that point here.
    let referencing: [Int]
    /// The columns whose values the rules look at: those of foreign keys, from either end.
    let valueColumns: Set<Int>

    init(_ registered: RegisteredTable, at index: Int, _ all: [CheckedForeignKey]) {
        self.registered = registered
        wireNames = registered.columns.map { Array($0.name.lowercased().utf8) }
        foreignKeys = all.indices.filter { all[$0].child == index }
        referencing = all.indices.filter { all[$0].parent == index }
        let pointing = foreignKeys.flatMap { all[$0].payloadPairs.map(\.childColumn) }
        let pointedAt = referencing.flatMap { all[$0].payloadPairs }.filter { !$0.isParentKey }
            .compactMap { pair in registered.columns.firstIndex { $0.name == pair.parentColumn } }
        valueColumns = Set(pointing + pointedAt)
    }

    /// The column that a payload key names, looked for first at `hint`: payloads keep the table's order.
    func column(_ key: UnsafeBufferPointer<UInt8>, hint: Int) -> Int? {
        if hint < wireNames.count, wireNames[hint].elementsEqual(key) { return hint }
        return wireNames.firstIndex { $0.elementsEqual(key) }
    }
}

/// A foreign key whose parents can be looked up by typed values.
package struct CheckedForeignKey: Sendable {
    package let key: ForeignKey
    /// Index of the child table.
    package let child: Int
    /// Index of the parent table, if it is registered.
    package let parent: Int?
    /// The pairs whose value the payload brings.
    package let payloadPairs: [Pair]
    /// Parent columns that hold the user, because the child's column is written by the server.
    package let ownerColumns: [String]

    package struct Pair: Sendable {
        /// Index of the child's column.
        package let childColumn: Int
        package let parentColumn: String
        package let type: ValueType
        /// The parent's key itself, so that its row key is the value.
        package let isParentKey: Bool
    }

    /// The types that are compared as values; a foreign key over others is left to PostgreSQL.
    package enum ValueType: Sendable {
        case uuid, integer, text

        init?(_ type: UInt32) {
            switch PostgresType(rawValue: type) {
            case .uuid: self = .uuid
            case .int2, .int4, .int8: self = .integer
            default:
                guard [25, 1043, 1042].contains(type) else { return nil }
                self = .text
            }
        }
    }

    init?(_ key: ForeignKey, ofTable child: Int, in catalog: Catalog) {
        let childTable = catalog.tables[child]
        let parentTable = catalog[key.parent]
        var pairs: [Pair] = []
        var owners: [String] = []
        for pair in key.columns {
            if pair.child == childTable.ownerColumn {
                owners.append(pair.parent)
                continue
            }
            guard let type = ValueType(pair.parentType),
                let column = childTable.columns.firstIndex(where: { $0.name == pair.child })
            else { return nil }
            pairs.append(
                Pair(
                    childColumn: column, parentColumn: pair.parent, type: type,
                    isParentKey: parentTable?.keyColumn == pair.parent))
        }
        guard !pairs.isEmpty else { return nil }
        self.key = key
        self.child = child
        parent = parentTable?.position
        payloadPairs = pairs
        ownerColumns = owners
    }
}
